"""`wslpet train`: train on a cohort of annotated patients, volumes or MIPs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wslpet.core.errors import InputError, TrainingError

if TYPE_CHECKING:
    from wslpet.core.settings import Settings
    from wslpet.method.network.checkpoint import Model
    from wslpet.method.network.inputs import Example
    from wslpet.method.segmentation.volumes.lesion_mips import LesionExample
    from wslpet.method.training.trainer import EpochReport, Trained

# Options of `train` that replace a setting of the same name.
TRAINING_OPTIONS: dict[str, tuple[Any, str]] = {
    "epochs": (int, "passes over the patients"),
    "batch_size": (int, "patients in a mini-batch"),
    "learning_rate": (float, "highest learning rate"),
    "patience": (int, "epochs without a better validation that end it"),
    "segmenter_steps": (int, "steps of the segmenter for each of the epochs; 0 leaves it as it is"),
    "validation": (float, "share of the patients held out"),
    "distance": (str, "loss 2: likelihood, expected or off"),
    "distance_weight": (float, "weight of loss 2 against loss 1"),
    "random_seed": (int, "random seed"),
}


def add_to(commands: Any) -> None:
    """Add the subcommand's parser."""
    train = commands.add_parser("train", help="learn from annotated patients")
    train.add_argument(
        "cohort",
        type=Path,
        help="table with name,scan,cancer_type,x,y,z (mm RAS), or its folder; or a folder of MIPs with "
        "image,cancer_type,click_x,click_y",
    )
    train.add_argument("--out", type=Path, required=True, metavar="MODEL.pt")
    train.add_argument("--preset", help="default or paper")
    train.add_argument("--from", type=Path, dest="start", metavar="MODEL.pt", help="start from these weights")
    train.add_argument("--types", help="cancer types, separated by commas (default: lung,oesophagus)")
    train.add_argument("--no-tumour", action="store_true", help='also learn "no tumour"')
    train.add_argument("--limit", type=int, metavar="N", help="use the first N patients only")
    for name, (kind, text) in TRAINING_OPTIONS.items():
        train.add_argument(_flag(name), dest=name, type=kind, help=text)
    train.set_defaults(command=run)


def run(args: argparse.Namespace) -> None:
    """Train, and write the weights."""
    from wslpet.data.mip_cohort import is_mip_cohort

    if args.out.is_dir():
        raise InputError(f"--out {args.out} is a folder; name a file, such as {args.out / 'model.pt'}")
    args.out.parent.mkdir(parents=True, exist_ok=True)  # so that an error comes before the training
    if is_mip_cohort(args.cohort):
        _train_on_mips(args)
    else:
        _train_on_volumes(args)


def _flag(name: str) -> str:
    """Return the command-line option of an attribute of `args`."""
    return "--" + {"start": "from", "random_seed": "seed"}.get(name, name).replace("_", "-")


def _train_on_volumes(args: argparse.Namespace) -> None:
    from wslpet.data.cohort_table import find_table
    from wslpet.method.network.checkpoint import best_device, load_model, save_model
    from wslpet.method.segmentation.volumes.site import with_segmenter
    from wslpet.method.training.trainer import train

    initial = load_model(args.start) if args.start else None
    settings = _training_settings(args, initial)
    table = find_table(args.cohort)
    examples, lesions = _prepared(table, settings, args.limit)
    judging = 0.0 if initial is None else settings.validation
    with _epoch_bar(settings.epochs) as report:
        trained = train(examples, settings, initial, best_device(), report, judging=judging)
    before = None if initial is None else initial.segmenter
    trained = replace(trained, model=with_segmenter(trained.model, lesions, judging, before, best_device()))
    save_model(trained.model, args.out)
    print(_outcome(trained, args.out))


def _train_on_mips(args: argparse.Namespace) -> None:
    """Train a segmenter of all lesions in MIPs, from one click per patient."""
    from wslpet.data.mip_cohort import people_of, read_mip_cohort
    from wslpet.method.segmentation.finder import save_finder
    from wslpet.method.segmentation.learner import learn

    unused = [*TRAINING_OPTIONS, "preset", "start", "types", "limit"]
    named = [name for name in unused if getattr(args, name) is not None] + ["no_tumour"] * args.no_tumour
    if named:
        raise InputError(f"{', '.join(map(_flag, named))}: the training on MIPs has no such option; leave it out")
    people = people_of(read_mip_cohort(args.cohort))
    finder = learn(people, report=lambda line: print(line, flush=True))
    save_finder(finder, args.out)
    print(f"{args.out}: {people.ill.sum()} patients, {(~people.ill).sum()} people without a lesion")


def _training_settings(args: argparse.Namespace, initial: Model | None) -> Settings:
    from wslpet.core.settings import settings_from

    changes = {name: getattr(args, name) for name in TRAINING_OPTIONS if getattr(args, name) is not None}
    if initial is None:
        if args.types is not None:
            changes["types"] = tuple(name.strip() for name in args.types.split(","))
        return settings_from(args.preset or "default", no_tumour=args.no_tumour, **changes)
    if args.preset or args.types or args.no_tumour:
        raise InputError("--preset, --types and --no-tumour are those of the --from model; leave them out")
    return replace(initial.settings, **changes)


def _prepared(table: Path, settings: Settings, limit: int | None) -> tuple[list[Example], list[LesionExample]]:
    """Examples of the CAM network and of the segmenter."""
    from tqdm import tqdm

    from wslpet.core.seeds import annotation_of
    from wslpet.data.cohort_table import read_table
    from wslpet.io.readers import read_volume
    from wslpet.method.network.inputs import prepare
    from wslpet.method.segmentation.volumes.lesion_mips import LesionExample, clicked_mips

    if limit is not None and limit < 1:
        raise InputError(f"--limit {limit} is not a number of patients; give 1 or more")
    rows, problems = read_table(table, settings.classes)
    examples, lesions = [], []
    for row in tqdm(rows[:limit], unit="patient", desc="prepare"):
        try:
            volume = read_volume(row.scan)
            examples.append(prepare(volume, row.seed, settings))
            mips = clicked_mips(volume.to_ras(), annotation_of(row.seed)) if settings.segmenter_steps else ()
            lesions.append(LesionExample(mips, row.seed.cancer_type, examples[-1].patient))
        except InputError as error:
            problems.append(f"row {row.number}: {error}")
    if problems:
        found = f"{table}: {len(problems)} rows cannot be used; correct or delete them"
        raise TrainingError("\n  ".join([found, *problems]))
    return examples, lesions


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
