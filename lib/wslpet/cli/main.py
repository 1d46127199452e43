"""The method from a terminal: `python -m wslpet COMMAND`; `--help` lists the commands."""

# Commands import what they need: `--help` and a mistyped option answer at once.
from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wslpet.cli import importing, radiomics
from wslpet.cli import study as studying
from wslpet.cli.radiomics import MASK_END
from wslpet.core import parallel
from wslpet.core.errors import InputError, TrainingError
from wslpet.method.shipped import SHIPPED_MODEL

if TYPE_CHECKING:
    from wslpet.core.settings import Settings
    from wslpet.method.network.checkpoint import Model
    from wslpet.method.network.inputs import Example
    from wslpet.method.training.trainer import EpochReport, Trained

# Options of `train` that replace a setting of the same name.
TRAINING_OPTIONS: dict[str, tuple[Any, str]] = {
    "epochs": (int, "passes over the patients"),
    "batch_size": (int, "patients in a mini-batch"),
    "learning_rate": (float, "highest learning rate"),
    "patience": (int, "epochs without a better validation that end it"),
    "validation": (float, "share of the patients held out"),
    "distance": (str, "loss 2: likelihood, expected or off"),
    "distance_weight": (float, "weight of loss 2 against loss 1"),
    "random_seed": (int, "random seed"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code: 0 done, 2 input that cannot be used (one line on stderr says what)."""
    args = _parser().parse_args(arguments)
    try:
        return args.command(args) or 0
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except OSError as error:
        print(f"{error.filename or 'file'}: {error.strerror}; give another place or make room", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m wslpet", description="Tumours in whole-body FDG PET from one click.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    phantom = commands.add_parser("phantom", help="write a cohort of phantom patients")
    phantom.add_argument("folder", type=Path, help="for the scans; truths and cohort.csv go to FOLDER-truth")
    phantom.add_argument("--patients", type=int, default=12, metavar="N")
    phantom.add_argument("--preset", default="plain", help="plain, hard, fed, train or train-mimics (default: plain)")
    phantom.add_argument("--seed", type=int, default=0, metavar="S", help="another seed, another cohort")
    phantom.add_argument("--orientation", default="mixed", help='axis code such as LPS, or "mixed" (default)')
    phantom.add_argument("--workers", type=int, default=2, metavar="N", help="processes (default: 2)")
    phantom.add_argument("--dicom", action="store_true", help="a folder with a DICOM PET series for each patient")
    phantom.set_defaults(command=_phantom)

    train = commands.add_parser("train", help="learn from annotated patients")
    train.add_argument("cohort", type=Path, help="table with name,scan,cancer_type,x,y,z (mm RAS), or its folder")
    train.add_argument("--out", type=Path, required=True, metavar="MODEL.pt")
    train.add_argument("--preset", help="default or paper")
    train.add_argument("--from", type=Path, dest="start", metavar="MODEL.pt", help="start from these weights")
    train.add_argument("--types", help="cancer types, separated by commas (default: lung,oesophagus)")
    train.add_argument("--no-tumour", action="store_true", help='also learn "no tumour"')
    train.add_argument("--limit", type=int, metavar="N", help="use the first N patients only")
    for name, (kind, text) in TRAINING_OPTIONS.items():
        flag = "seed" if name == "random_seed" else name.replace("_", "-")
        train.add_argument(f"--{flag}", dest=name, type=kind, help=text)
    train.set_defaults(command=_train)

    segment = commands.add_parser("segment", help="find the tumour in scans, or the one at a click")
    segment.add_argument("scans", type=Path, nargs="+", help="scans in SUV, DICOM series, or folders with them below")
    segment.add_argument("--model", type=Path, metavar="MODEL.pt", help="default: the shipped weights")
    segment.add_argument("--seed", type=float, nargs=3, metavar=("X", "Y", "Z"), help="a click, mm RAS")
    segment.add_argument("--type", dest="cancer_type", help="cancer type of the click")
    segment.add_argument("--sure", action="store_true", help="the click is on a tumour, though it hardly stands out")
    segment.add_argument("--out", type=Path, default=Path("."), metavar="DIR", help="default: where you are")
    parallel.add_options(segment)
    segment.set_defaults(command=_segment)

    for command in (radiomics, importing, studying):
        command.add_to(commands)

    pacs = commands.add_parser("pacs", help="a PACS on this computer, for as long as a command runs")
    pacs.add_argument("folder", type=Path, help="where it keeps its images")
    pacs.add_argument("--port", type=int, metavar="N", help="default: a free one")
    pacs.add_argument("--load", type=Path, metavar="DIR", help="DICOM series to store, unless it has them")
    pacs.add_argument("--run", nargs=argparse.REMAINDER, required=True, metavar="COMMAND", help="and its arguments")
    pacs.set_defaults(command=_pacs)

    welcome = commands.add_parser("welcome", help="what to open, and what to do there, once the server runs")
    welcome.add_argument("--studies", required=True, help="folder, or DICOMweb address")
    welcome.add_argument("--host", default="127.0.0.1")
    welcome.add_argument("--port", type=int, default=8000)
    welcome.add_argument("--demo", action="store_true", help="the studies are those of make demo")
    welcome.set_defaults(command=_welcome)

    demo = commands.add_parser(
        "demo", help="the demo's clicks from the phantoms' truth, a training, and what it brought"
    )
    demo.add_argument("studies", type=Path, help="the phantoms that the running server has")
    demo.add_argument("--url", default="http://127.0.0.1:8000", help="of the server (default: %(default)s)")
    demo.add_argument("--clicks", type=int, default=12, metavar="N", help="0 only judges what is in use (default: 12)")
    demo.set_defaults(command=_demo)

    model = commands.add_parser("model", help="what weights were trained on; those that were published; the way back")
    what = "MODEL.pt (default: the shipped weights), or versions STUDIES, or rollback STUDIES"
    model.add_argument("words", nargs="*", default=[str(SHIPPED_MODEL)], metavar="MODEL.pt", help=what)
    model.add_argument("--to", metavar="VERSION", help="of rollback; default: what answered before")
    model.set_defaults(command=_model)
    return parser


def _phantom(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from wslpet.data.phantom import PRESETS, write_cohort

    if args.patients < 1:
        raise InputError(f"--patients {args.patients} is not a number of patients; give 1 or more")
    settings = PRESETS[args.preset]
    with tqdm(total=args.patients, unit="patient", desc="phantom") as bar:
        write_cohort(
            args.folder,
            args.patients,
            args.seed,
            settings,
            orientation=args.orientation,
            workers=args.workers,
            progress=lambda done, total: bar.update(),
            dicom=args.dicom,
        )
    truths = args.folder.with_name(args.folder.name + "-truth")
    print(f"{args.patients} {args.preset} patients in {args.folder}, masks and cohort.csv in {truths}")


def _train(args: argparse.Namespace) -> None:
    from wslpet.data.cohort_table import find_table
    from wslpet.method.network.checkpoint import best_device, load_model, save_model
    from wslpet.method.training.trainer import train

    initial = load_model(args.start) if args.start else None
    settings = _training_settings(args, initial)
    table = find_table(args.cohort)
    if args.out.is_dir():
        raise InputError(f"--out {args.out} is a folder; name a file, such as {args.out / 'model.pt'}")
    args.out.parent.mkdir(parents=True, exist_ok=True)  # before the training, not after it
    examples = _prepared(table, settings, args.limit)
    with _epoch_bar(settings.epochs) as report:
        trained = train(examples, settings, initial, best_device(), report)
    save_model(trained.model, args.out)
    print(_outcome(trained, args.out))


def _training_settings(args: argparse.Namespace, initial: Model | None) -> Settings:
    from dataclasses import replace

    from wslpet.core.settings import settings_from

    changes = {name: getattr(args, name) for name in TRAINING_OPTIONS if getattr(args, name) is not None}
    if initial is None:
        if args.types is not None:
            changes["types"] = tuple(name.strip() for name in args.types.split(","))
        return settings_from(args.preset or "default", no_tumour=args.no_tumour, **changes)
    if args.preset or args.types or args.no_tumour:
        raise InputError("--preset, --types and --no-tumour are those of the --from model; leave them out")
    return replace(initial.settings, **changes)


def _prepared(table: Path, settings: Settings, limit: int | None) -> list[Example]:
    from tqdm import tqdm

    from wslpet.data.cohort_table import read_table
    from wslpet.io.readers import read_volume
    from wslpet.method.network.inputs import prepare

    if limit is not None and limit < 1:
        raise InputError(f"--limit {limit} is not a number of patients; give 1 or more")
    rows, problems = read_table(table, settings.classes)
    examples = []
    for row in tqdm(rows[:limit], unit="patient", desc="prepare"):
        try:
            examples.append(prepare(read_volume(row.scan), row.seed, settings))
        except InputError as error:
            problems.append(f"row {row.number}: {error}")
    if problems:
        found = f"{table}: {len(problems)} rows cannot be used; correct or delete them"
        raise TrainingError("\n  ".join([found, *problems]))
    return examples


@contextmanager
def _epoch_bar(epochs: int) -> Iterator[Any]:
    from tqdm import tqdm

    with tqdm(total=epochs, unit="epoch", desc="train") as bar:

        def report(epoch: EpochReport) -> bool:
            bar.update()
            bar.set_postfix_str(
                f"loss {epoch.loss:.3f}, validation {epoch.val_loss:.3f}, "
                f"seed hit {epoch.localisation_rate:.0%}, type {epoch.type_accuracy:.0%}"
            )
            return False

        yield report


def _outcome(trained: Trained, path: Path) -> str:
    best = next(epoch for epoch in reversed(trained.epochs) if epoch.best)
    lines = [
        f"{path}: version {trained.model.version}, epoch {best.epoch} of {len(trained.epochs)}: "
        f"seed hit {best.localisation_rate:.0%}, type accuracy {best.type_accuracy:.0%}, loss {best.val_loss:.3f} "
        f"on {trained.model.history['validated_on']}"
    ]
    if not trained.better and trained.initial is not None:
        lines.append(
            f"not shown to be better than the weights it started from (loss {trained.initial['val_loss']:.3f})"
        )
    return "\n".join(lines)


def _segment(args: argparse.Namespace) -> int:
    if (args.seed is None) != (args.cancer_type is None):
        raise InputError("--seed and --type belong together: a click needs its cancer type; give both")
    scans = _scans(args.scans)
    if args.seed is not None and len(scans) > 1:
        raise InputError(f"--seed is a place in one scan, but {len(scans)} scans were given; give one")

    from tqdm import tqdm

    from wslpet.core.seeds import Seed
    from wslpet.method.network.checkpoint import load_model

    seed = None if args.seed is None else Seed(args.cancer_type, tuple(args.seed), user="terminal")
    weights = None
    if args.model is not None or seed is None or SHIPPED_MODEL.exists():
        weights = (args.model or SHIPPED_MODEL).resolve()
        load_model(weights)  # refused once, not for each scan
    out = args.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    one = partial(_segment_one, weights=weights, seed=seed, sure=args.sure, out=out, shown=args.out)
    failures = 0
    named = [(name, Path(os.path.abspath(scan))) for name, scan in scans.items()]
    answers = parallel.over(one, named, args.workers, args.scheduler)
    for answer in tqdm(answers, total=len(scans), unit="scan", disable=len(scans) == 1):
        failed = isinstance(answer, InputError)
        failures += failed
        tqdm.write(str(answer), file=sys.stderr if failed else sys.stdout)
    return 2 if failures else 0


def _scans(paths: Sequence[Path]) -> dict[str, Path]:
    """Name → scan: the files and series named, and those in and below the folders named, called by their path there.

    Raises
    ------
    InputError
        when there is none, or two would write the same results.
    """
    from wslpet.io.readers import ITK, NIFTI

    scans: dict[str, Path] = {}
    for path in paths:
        if not path.exists():
            raise InputError(f"{path} does not exist; name scans or folders of scans")
        found = _below(path) if path.is_dir() else {_stem(path.name): path}
        if not found:
            raise InputError(f"folder {path} holds no scan ({', '.join(NIFTI + ITK)}, DICOM series); give another")
        for name, scan in found.items():
            other = scans.setdefault(name, scan)
            if os.path.abspath(other) != os.path.abspath(scan):
                raise InputError(f"{scan} and {other} have one name; segment them into different --out folders")
    return scans


def _below(folder: Path) -> dict[str, Path]:
    """Name → image file or series, of all in a folder and below it; what cannot be looked at is told."""
    from wslpet.io.dicom.series import find_series
    from wslpet.io.folders import look_into
    from wslpet.io.readers import ending

    tree = look_into(folder)
    for name, why in tree.left_out.items():
        print(f"left out: {folder / name}: {why}", file=sys.stderr)
    found: dict[str, Path] = {}
    files = [(name, folder / name) for name in tree.files if ending(name) and not name.endswith(MASK_END)]
    series = sorted({files[0].parent for files in find_series(folder, "PT").values()})
    beside = [(str(path.relative_to(folder)) if path != folder else path.name, path) for path in series]
    for name, path in [*((_stem(name), path) for name, path in files), *beside]:
        other = found.setdefault(name, path)
        if other != path:
            raise InputError(f"{path} and {other} have one name; rename or remove one of the two")
    return found


def _stem(name: str) -> str:
    from wslpet.io.readers import ending

    return name[: len(name) - len(ending(name))]


@lru_cache(maxsize=1)
def _loaded(weights: Path) -> Model:
    """Once for each process."""
    from wslpet.method.network.checkpoint import best_device, load_model

    return load_model(weights, best_device())


def _segment_one(scan: tuple[str, Path], weights: Path | None, seed: Any, sure: bool, out: Path, shown: Path) -> str:
    """`scan` is its name, which may hold folders, and where it is."""
    from wslpet.io.dicom.series import read_series
    from wslpet.io.readers import read_volume, write_mask
    from wslpet.method.inference.pipeline import segment
    from wslpet.method.inference.plotting import Case, picture

    name, path = scan
    model = None if weights is None else _loaded(weights)
    series = read_series(path) if path.is_dir() else None
    volume = read_volume(path) if series is None else series.volume
    result = segment(volume, model, seed, sure=sure)
    mask = out / f"{name}{MASK_END}"
    mask.parent.mkdir(parents=True, exist_ok=True)
    write_mask(result.mask, mask)
    answer = {"name": name, "scan": str(path), "seed": None if seed is None else seed.to_dict(), **result.to_dict()}
    answer["notes"] = [] if series is None else list(series.notes)
    (out / f"{name}.json").write_text(json.dumps(answer, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    cell_mm = None if model is None else model.settings.grid_mm * model.settings.stride
    picture(Case(volume, result, cell_mm, seed), out / f"{name}.png")
    probability = "" if seed is not None else f" ({result.type_probabilities[result.cancer_type]:.0%})"
    measured = "nothing delineated"
    if result.lesions:
        hottest = max(lesion.suv_max for lesion in result.lesions)
        measured = f"{answer['mtv_ml']:.1f} ml, SUVmax {hottest:.1f}, TLG {answer['tlg']:.0f}"
    return f"{name}: {result.cancer_type}{probability}, {measured} → {shown / f'{name}{MASK_END}'}"


def _pacs(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from wslpet.cli.demo.orthanc import Orthanc

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with Orthanc(args.folder, args.port) as orthanc:
        files = orthanc.missing(args.load) if args.load else []
        with tqdm(total=len(files), unit="image", desc="load", disable=not files) as bar:
            orthanc.upload(files, bar.update)
        return _run(args.run)


def _run(command: Sequence[str]) -> int:
    process = subprocess.Popen(command)
    try:
        return process.wait()
    except KeyboardInterrupt:
        return process.wait()  # Ctrl-C reached it, too
    except SystemExit:
        process.terminate()
        process.wait()
        raise


def _welcome(args: argparse.Namespace) -> None:
    from wslpet.cli.demo.welcome import welcome, welcome_to_pacs

    if args.studies.startswith(("http://", "https://")):
        print(welcome_to_pacs(args.studies, args.host, args.port))
    else:
        print(welcome(Path(args.studies), args.host, args.port, demo=args.demo))


def _demo(args: argparse.Namespace) -> None:
    from wslpet.cli.demo.play import Demo, play

    play(Demo(args.studies, args.url), args.clicks, partial(print, flush=True))


def _model(args: argparse.Namespace) -> None:
    first, *rest = args.words
    if args.to is not None and first != "rollback":
        raise InputError("--to is a version to roll back to; write model rollback STUDIES --to VERSION")
    if first in ("versions", "rollback") and len(rest) == 1:
        _published(first, Path(rest[0]), args.to)
    elif not rest:
        _describe(Path(first))
    else:
        raise InputError(f"model {' '.join(args.words)}: give one MODEL.pt, or versions STUDIES, or rollback STUDIES")


def _describe(path: Path) -> None:
    from wslpet.method.network.checkpoint import load_model

    model = load_model(path)
    weights = sum(tensor.numel() for tensor in model.network.parameters())
    described = {
        "model": str(path),
        "version": model.version,
        "parameters": weights,
        "settings": model.settings.to_dict(),
        "history": model.history,
    }
    print(json.dumps(described, indent=2, ensure_ascii=False))


def _published(what: str, folder: Path, to: str | None) -> None:
    """`folder` is that of the studies, or the one that the weights lie in. A server that runs takes over at once."""
    from wslpet.core.state_folder import state_folder
    from wslpet.method.network.registry import ModelRegistry

    places = [state_folder(folder) / "model" / "wslpet.pt", folder / "model" / "wslpet.pt", folder / "wslpet.pt"]
    file = next((place for place in places if place.exists()), None)
    if file is None:
        raise InputError(f"{folder} holds no published weights (.wslpet/model/wslpet.pt); give the studies' folder")
    published = ModelRegistry(file)
    if what == "rollback":
        print(f"{file}: version {published.rollback(to).version} answers again")
        return
    for version in published.versions():
        print(f"{version.state:10} {version.version}  {version.file}")
