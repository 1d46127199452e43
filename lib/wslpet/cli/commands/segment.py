"""`wslpet segment`: segment the tumour of each scan, automatically or at a click; write mask, JSON, picture, table."""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wslpet.cli.commands.radiomics import MASK_END
from wslpet.core import parallel
from wslpet.core.errors import InputError
from wslpet.core.seeds import CONTOUR_METHODS, OURS
from wslpet.method.shipped import SHIPPED_MODEL

if TYPE_CHECKING:
    from wslpet.method.network.checkpoint import Model

# Table with a row for each scan, if there are several.
TABLE = "segment.csv"
COLUMNS = ("name", "scan", "cancer_type", "confidence", "lesions", "mtv_ml", "tlg", "suv_max", "model_version", "error")


def add_to(commands: Any) -> None:
    """Add the subcommand's parser."""
    segment = commands.add_parser("segment", help="find the tumour in scans, or the one at a click")
    segment.add_argument("scans", type=Path, nargs="+", help="scans in SUV, DICOM series, or folders with them below")
    segment.add_argument("--model", type=Path, metavar="MODEL.pt", help="default: the shipped weights")
    segment.add_argument(
        "--seed",
        type=float,
        nargs=3,
        action="append",
        metavar=("X", "Y", "Z"),
        help="a click on a lesion, mm RAS; again for each other lesion, the primary first",
    )
    segment.add_argument(
        "--background",
        type=float,
        nargs=3,
        action="append",
        default=[],
        metavar=("X", "Y", "Z"),
        help="a place that is no lesion, mm RAS; in a lesion, what belongs to it is cut off",
    )
    methods = ", ".join(CONTOUR_METHODS).replace("%", "%%")
    segment.add_argument("--contour", default=OURS, help=f"contour of the clicked lesions: {methods}")
    segment.add_argument("--step", type=int, default=0, help="contours larger (> 0) or smaller (< 0)")
    segment.add_argument("--type", dest="cancer_type", help="cancer type of the click")
    segment.add_argument("--sure", action="store_true", help="the click is on a tumour, though it hardly stands out")
    segment.add_argument("--out", type=Path, default=Path("."), metavar="DIR", help="default: where you are")
    segment.add_argument(
        "--resume",
        action="store_true",
        help="leave out scans whose JSON is in DIR already, whatever weights or click it was made with",
    )
    parallel.add_options(segment)
    segment.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Segment the scans; returns 2 if one failed, after a message for each."""
    if (args.seed is None) != (args.cancer_type is None):
        raise InputError("--seed and --type belong together: a click needs its cancer type; give both")
    scans = _scans(args.scans)
    if args.seed is not None and len(scans) > 1:
        raise InputError(f"--seed is a place in one scan, but {len(scans)} scans were given; give one")

    from wslpet.core.seeds import BACKGROUND, Annotation, ContourChoice, Seed
    from wslpet.method.network.checkpoint import load_model

    seed, choice = None, ContourChoice(args.contour, args.step)
    if args.seed is not None:
        seeds = (Seed(args.cancer_type, tuple(place), user="terminal", contour=choice) for place in args.seed)
        background = (Seed(BACKGROUND, tuple(place), user="terminal") for place in args.background)
        seed = Annotation(tuple(seeds), tuple(background))
    weights = None
    if args.model is not None or seed is None or SHIPPED_MODEL.exists():
        weights = (args.model or SHIPPED_MODEL).resolve()
        load_model(weights)  # a damaged file is reported once, not for each scan
    out = args.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    one = partial(segment_one, weights=weights, seed=seed, sure=args.sure, out=out, shown=args.out, resume=args.resume)
    named = [(name, Path(os.path.abspath(scan))) for name, scan in scans.items()]
    rows = list(_answered(one, named, args))
    if len(rows) > 1:
        _write_table(rows, out / TABLE)
    return 2 if any(row["error"] for row in rows) else 0


def _answered(one: Callable[[Any], str], named: Sequence[tuple[str, Path]], args: Any) -> Iterator[dict[str, str]]:
    """Print the answer or the error of each scan, and yield its row of the table."""
    from tqdm import tqdm

    answers = parallel.over(one, named, args.workers, args.scheduler)
    pairs = zip(named, answers, strict=True)
    for (name, path), answer in tqdm(pairs, total=len(named), unit="scan", disable=len(named) == 1):
        failed = isinstance(answer, InputError)
        tqdm.write(str(answer), file=sys.stderr if failed else sys.stdout)
        yield {"name": name, "scan": str(path), "error": str(answer) if failed else ""}


def _write_table(rows: Sequence[dict[str, str]], path: Path) -> None:
    """Write a row for each scan, those of earlier runs included: the measures of its JSON, or the error."""
    from wslpet.core.atomic_io import replacing
    from wslpet.io.tables import guarded

    with replacing(path) as part, open(part, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            found: dict[str, Any] = {}
            if not row["error"]:
                answer = json.loads((path.parent / f"{row['name']}.json").read_text(encoding="utf-8"))
                found = {column: answer[column] for column in COLUMNS if column in answer}
                found["lesions"] = len(answer["lesions"])
                found["suv_max"] = max((lesion["suv_max"] for lesion in answer["lesions"]), default=None)
            texts = {column: guarded(text) for column, text in row.items()}
            writer.writerow({**found, **texts})


def _scans(paths: Sequence[Path]) -> dict[str, Path]:
    """Collect the scans: name → file or series, named directly or found in and below a folder, by relative path.

    Raises
    ------
    InputError
        when there is none, or two have the same name.
    """
    from wslpet.io.formats.itk import ITK
    from wslpet.io.formats.nifti import NIFTI

    scans: dict[str, Path] = {}
    for path in paths:
        if not path.exists():
            raise InputError(f"{path} does not exist; name scans or folders of scans")
        found = scans_below(path) if path.is_dir() else {_stem(path.name): path}
        if not found:
            raise InputError(f"folder {path} holds no scan ({', '.join(NIFTI + ITK)}, DICOM series); give another")
        for name, scan in found.items():
            other = scans.setdefault(name, scan)
            if os.path.abspath(other) != os.path.abspath(scan):
                raise InputError(f"{scan} and {other} have one name; segment them into different --out folders")
    return scans


def scans_below(folder: Path) -> dict[str, Path]:
    """Name → image file or series in and below a folder, without a server's labels; unreadable folders are reported."""
    from wslpet.io.dicom.files import find_series
    from wslpet.io.folders import look_into
    from wslpet.io.readers import ending

    tree = look_into(folder)
    for name, why in tree.left_out.items():
        print(f"left out: {folder / name}: {why}", file=sys.stderr)
    found: dict[str, Path] = {}
    labels = [f"{path.relative_to(folder) / 'labels'}/" for path in tree.folders if _is_served(path)]
    images = [name for name in tree.files if ending(name) and not name.endswith(MASK_END)]
    files = [(name, folder / name) for name in images if not name.startswith(tuple(labels))]
    series = sorted({files[0].parent for files in find_series(folder, "PT").values()})
    beside = [(str(path.relative_to(folder)) if path != folder else path.name, path) for path in series]
    for name, path in [*((_stem(name), path) for name, path in files), *beside]:
        other = found.setdefault(name, path)
        if other != path:
            raise InputError(f"{path} and {other} have one name; rename or remove one of the two")
    return found


def _is_served(folder: Path) -> bool:
    """Whether a server keeps its labels in `folder`/labels."""
    return (folder / "datastore_v2.json").is_file() or (folder / ".wslpet").is_dir()


def _stem(name: str) -> str:
    from wslpet.io.readers import ending

    return name[: len(name) - len(ending(name))]


@lru_cache(maxsize=1)
def loaded(weights: Path) -> Model:
    """Load the model once per process."""
    from wslpet.method.network.checkpoint import best_device, load_model

    return load_model(weights, best_device())


def segment_one(
    scan: tuple[str, Path], weights: Path | None, seed: Any, sure: bool, out: Path, shown: Path, resume: bool = False
) -> str:
    """Segment one scan, given by its name, which may contain folders, and its path. Its JSON is written last."""
    from wslpet.core.atomic_io import replacing
    from wslpet.io.dicom.series import read_series
    from wslpet.io.masks import write_mask
    from wslpet.io.readers import read_volume
    from wslpet.method.inference.pipeline import delineate, find_lesions
    from wslpet.method.inference.plotting import Case, picture

    name, path = scan
    if resume and (out / f"{name}.json").exists():
        return f"{name}: done before → {shown / f'{name}{MASK_END}'}"
    model = None if weights is None else loaded(weights)
    series = read_series(path) if path.is_dir() else None
    volume = read_volume(path) if series is None else series.volume
    if seed is not None:
        result = delineate(volume, seed, model, sure=sure)
    else:
        assert model is not None  # loaded by `run`
        result = find_lesions(volume, model)
    mask = out / f"{name}{MASK_END}"
    mask.parent.mkdir(parents=True, exist_ok=True)
    write_mask(result.mask, mask)
    answer = {"name": name, "scan": str(path), "seed": None if seed is None else seed.to_dict(), **result.to_dict()}
    answer["notes"] = [] if series is None else list(series.notes)
    cell_mm = None if model is None else model.settings.grid_mm * model.settings.stride
    picture(Case(volume, result, cell_mm, seed), out / f"{name}.png")
    with replacing(out / f"{name}.json") as part:
        part.write_text(json.dumps(answer, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if seed is None and not result.lesions:
        found = f"no lesion found (probability of any lesion {result.lesion_probability:.0%})"
        return f"{name}: {found} → {shown / f'{name}{MASK_END}'}"
    probability = "" if seed is not None else f" ({result.type_probabilities[result.cancer_type]:.0%})"
    measured = "nothing delineated"
    if result.lesions:
        hottest = max(lesion.suv_max for lesion in result.lesions)
        measured = f"{answer['mtv_ml']:.1f} ml, SUVmax {hottest:.1f}, TLG {answer['tlg']:.0f}"
    return f"{name}: {result.cancer_type}{probability}, {measured} → {shown / f'{name}{MASK_END}'}"
