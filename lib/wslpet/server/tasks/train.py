"""`wslpet`: seeds and types from the datastore in, published weights out.

Runs in a process of its own, which MONAI Label starts and may kill. It reads the seed log, writes statistics after each
epoch, and renames new weights into place at the end, if they do better than those in use; killed before that, it
leaves the published weights as they were.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

from monailabel.interfaces.tasks.train import TrainTask

from wslpet.core.atomic_io import write_json
from wslpet.core.errors import InputError, TrainingError
from wslpet.core.seeds import Seed
from wslpet.core.settings import Settings
from wslpet.method.network.checkpoint import Model
from wslpet.method.network.inputs import Example, load_example, prepare, save_example
from wslpet.method.training.gpus import ALL, chosen, gpu_count, train_on
from wslpet.method.training.trainer import MIN_JUDGED, MIN_PER_TYPE, EpochReport, Trained
from wslpet.server.errors import quoted
from wslpet.server.storage.datastore import SeededDatastore
from wslpet.server.tasks.active_model import ActiveModel

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

logger = logging.getLogger(__name__)

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_GPU_NUMBERS = re.compile(r"\d{1,2}(,\d{1,2}){0,63}", re.ASCII)
MAX_EPOCHS = 1000
RUN_FILE = "run.json"
# At 10 the scheduler gives nine tenths of a processor to the server when both want it.
NICENESS = 10
# What MONAI Label and its viewers add to a train request, and what has no meaning here.
_STOCK = """
model client_id device dataset local_rank tracking tracking_uri tracking_experiment_name
early_stop_patience train_batch_size val_batch_size train_random_seed train_random_slices run_id bundle_path
description logging max_workers user
"""
_STOCK_KEYS = frozenset(_STOCK.split())


@dataclass(frozen=True)
class TrainRequest:
    """What a train request may say.

    Parameters
    ----------
    name : of the run; its TensorBoard folder.
    max_epochs : None is the setting.
    val_split : share of the patients held out; None is the setting.
    pretrained : start from the weights in use; else from scratch.
    multi_gpu : train on several GPUs, a process for each, where there are several.
    gpus : which: "all", or numbers from 0 such as "0,1".
    """

    name: str = "train_01"
    max_epochs: int | None = None
    val_split: float | None = None
    pretrained: bool = True
    multi_gpu: bool = True
    gpus: str = ALL

    @classmethod
    def read(cls, request: Mapping[str, Any]) -> TrainRequest:
        """Raises InputError for unknown keys and values of another kind or out of bounds."""
        unknown = sorted(set(request) - {*cls.__dataclass_fields__, "from_scratch"} - _STOCK_KEYS)
        if unknown:
            known = ", ".join([*cls.__dataclass_fields__, "from_scratch"])
            raise InputError(f"train request: {quoted(unknown)} do not exist; known are {known}")
        name = request.get("name", cls.name)
        if not isinstance(name, str) or not _SAFE_NAME.fullmatch(name):
            raise InputError(f"train request: name {quoted(name)} is not a safe name; use letters, digits, '_' and '-'")
        for key in ("pretrained", "from_scratch", "multi_gpu"):
            if not isinstance(request.get(key, True), bool):
                raise InputError(f"train request: {key} {quoted(request[key])} is neither true nor false")
        if request.get("pretrained") and request.get("from_scratch"):
            raise InputError("train request: both pretrained and from_scratch are true; give one")
        return cls(
            name,
            _bounded(request, "max_epochs", int, 1, MAX_EPOCHS),
            _bounded(request, "val_split", float, 0.0, 0.5),
            request.get("pretrained", True) and not request.get("from_scratch", False),
            request.get("multi_gpu", True),
            _gpus(request),
        )

    def devices(self) -> list[str]:
        """What to train on. Raises InputError for GPUs that do not exist."""
        return chosen(self.multi_gpu, self.gpus, gpu_count())

    def applied_to(self, settings: Settings) -> Settings:
        epochs = settings.epochs if self.max_epochs is None else self.max_epochs
        validation = settings.validation if self.val_split is None else self.val_split
        return replace(settings, epochs=epochs, validation=validation)


class _Record:
    """What is kept of a training: its statistics as the latest, and, with every epoch, in its folder `run`."""

    def __init__(self, latest: Path, run: Path, stats: dict[str, Any]) -> None:
        self._latest = latest
        self.run = run
        self.stats = stats
        self.epochs: list[dict[str, Any]] = []

    def write(self) -> None:
        write_json(self._latest, self.stats)
        write_json(self.run / RUN_FILE, {**self.stats, "epochs": self.epochs})


class LearnFromSeeds(TrainTask):
    """Trains on every image whose newest seed has a configured type."""

    def __init__(self, weights: ActiveModel, settings: Settings) -> None:
        super().__init__("Learns to find tumours and tell their types from the clicks so far")
        self._weights = weights
        self._settings = settings
        self._stats_file = weights.published.with_name("train_stats.json")

    def config(self) -> dict[str, Any]:
        """The options that viewers show, those of MONAI Label's own tasks among them."""
        return {
            "name": TrainRequest.name,
            "pretrained": True,
            "max_epochs": self._settings.epochs,
            "val_split": self._settings.validation,
            "multi_gpu": TrainRequest.multi_gpu,
            "gpus": TrainRequest.gpus,
        }

    def stats(self) -> dict[str, Any]:
        """Of the latest training, after each epoch. "total_time" instead of "current_time" says that it has ended."""
        try:
            return json.loads(self._stats_file.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}

    def check(self, request: Mapping[str, Any], datastore: SeededDatastore) -> None:
        """Raise what training would refuse: the request's values, or annotations that teach nothing."""
        TrainRequest.read(request).devices()
        counts = Counter(seed.cancer_type for seed in datastore.seeded().values())
        found = ", ".join(f"{counts[name]} {name}" for name in self._settings.classes)
        if sum(counts[name] >= MIN_PER_TYPE for name in self._settings.classes) < 2:
            raise TrainingError(
                f"training needs {MIN_PER_TYPE} annotated patients of at least two types, there are {found}; "
                f"click one tumour per patient, then train{_left_out(datastore)}"
            )

    def __call__(self, request: Mapping[str, Any], datastore: SeededDatastore) -> dict[str, Any]:
        """Train, and publish the weights if they are better. Returns the final statistics.

        Raises
        ------
        InputError
            when the request or the annotations do not allow it.
        """
        _give_way()
        self.check(request, datastore)
        asked = TrainRequest.read(request)
        start = time.time()
        stats: dict[str, Any] = {"name": asked.name, "start_ts": int(start), "epoch": 0, "best_metric": 0.0}
        stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(start))
        record = _Record(self._stats_file, self.folder / asked.name / stamp, stats)
        try:
            self._train(asked, datastore, record, start)
        except InputError as error:
            stats["error"] = str(error)
            raise
        finally:
            stats.pop("current_time", None)
            stats["total_time"] = _since(start)
            record.write()
        return stats

    @property
    def folder(self) -> Path:
        """Of the published weights; `<name>/<time>/` in it keeps each run: `RUN_FILE` and TensorBoard's."""
        return self._weights.published.parent

    def _train(self, asked: TrainRequest, datastore: SeededDatastore, record: _Record, start: float) -> None:
        from torch.utils.tensorboard import SummaryWriter  # heavy, and the server needs none of it

        settings, stats = asked.applied_to(self._settings), record.stats
        stats.update(total_epochs=settings.epochs, current_time=_since(start))
        record.write()
        examples, skipped = self._examples(datastore, settings)
        in_use = self._weights.current()
        initial = in_use if asked.pretrained and in_use and _same_network(in_use.settings, settings) else None
        counts = dict(Counter(example.cancer_type for example in examples))
        logger.info("training on %s, %s", counts, "from the weights in use" if initial else "from scratch")
        stats.update(patients=counts, skipped=skipped, from_scratch=initial is None)
        with SummaryWriter(str(record.run)) as board:
            report = self._reporter(record, start, board)
            trained = train_on(
                asked.devices(), examples, settings, initial, report, incumbent=_comparable(in_use, settings)
            )
        self._publish(trained, stats)

    def _examples(self, datastore: SeededDatastore, settings: Settings) -> tuple[list[Example], dict[str, str]]:
        """Projections of the annotated patients, and what keeps the others out: image → reason."""
        examples, skipped = [], {}
        for image, seed in sorted(datastore.seeded().items()):
            try:
                examples.append(_prepared(datastore, image, seed, settings))
            except (InputError, OSError) as error:
                logger.warning("image %s is left out: %s", image, error)
                skipped[image] = str(error)
        return examples, skipped

    def _reporter(self, record: _Record, start: float, board: SummaryWriter) -> Callable[[EpochReport], bool]:
        best = {"metric": -1.0, "epoch": 0}

        def report(epoch: EpochReport) -> bool:
            # Both viewers draw this as an accuracy bar.
            metric = (epoch.localisation_rate + epoch.type_accuracy) / 2
            if epoch.best or best["epoch"] == 0:
                best.update(metric=metric, epoch=epoch.epoch)
            figures = {name: _finite(value) for name, value in asdict(epoch).items()}
            for name, value in figures.items():
                if isinstance(value, float):
                    board.add_scalar(name, value, epoch.epoch)
            record.epochs.append(figures)
            record.stats.update(
                epoch=epoch.epoch,
                total_epochs=epoch.total_epochs,
                current_time=_since(start),
                best_metric=best["metric"],
                train={"metrics": {k: figures[k] for k in ("loss", "type_loss", "distance_loss")}},
                eval={
                    "metrics": {k: figures[k] for k in ("val_loss", "localisation_rate", "type_accuracy")},
                    "key_metric_name": "mean of localisation_rate and type_accuracy",
                    "best_metric": best["metric"],
                    "best_metric_epoch": best["epoch"],
                },
            )
            record.write()
            # MONAI Label's train status shows the last lines of this process.
            logger.info(
                "epoch %d/%d: loss %.3f, validation %.3f, seed hit %.2f, type accuracy %.2f",
                *(
                    epoch.epoch,
                    epoch.total_epochs,
                    epoch.loss,
                    epoch.val_loss,
                    epoch.localisation_rate,
                    epoch.type_accuracy,
                ),
            )
            return False

        return report

    def _publish(self, trained: Trained, stats: dict[str, Any]) -> None:
        objection = _objection(trained)
        stats["published"] = objection is None
        stats["not_judged"] = _not_judged(trained.model.history)
        stats["model_version"] = trained.model.version
        if objection is None:
            self._weights.history.publish(trained.model)
        else:
            stats["not_published"] = objection
        logger.info("version %s %s", trained.model.version, f"{objection}: dropped" if objection else "published")


def _left_out(datastore: SeededDatastore) -> str:
    """What else there is that could count, in words that follow a sentence."""
    uncounted = datastore.uncounted()
    if not uncounted:
        return ""
    image, why = min(uncounted.items())
    return f". Not counted: {len(uncounted)} that were annotated, such as {image}: {why}"


def _give_way() -> None:
    """Let the server's answers go before a training beside it; one that runs in the server itself cannot."""
    if "monailabel.app" not in sys.modules and os.nice(0) < NICENESS:
        os.nice(NICENESS - os.nice(0))


def _prepared(datastore: SeededDatastore, image: str, seed: Seed, settings: Settings) -> Example:
    """The patient's projections, from the cache when neither its file nor its seed nor the grid changed."""
    key = json.dumps([datastore.image_version(image), seed.cancer_type, seed.position, settings.grid_mm, 1])
    cached = datastore.private / "prepared" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npz"
    try:
        return replace(load_example(cached), name=image)
    except (OSError, ValueError, KeyError, BadZipFile):
        pass
    example = prepare(datastore.views(image), seed, settings)
    save_example(example, cached)
    return replace(example, name=image)


def _objection(trained: Trained) -> str | None:
    """Why new weights must not answer, if so, in words that follow "the new model"."""
    history = trained.model.history
    if not trained.better and not history["held_out"]:
        found = ", ".join(f"{count} {name}" for name, count in history["patients"].items())
        return (
            "cannot be compared with the one in use, as nobody was held out of training: annotate "
            f"{MIN_JUDGED} patients of at least two types (there are {found}), with val_split above 0"
        )
    if not trained.better:
        return f"is no better than the one in use on the held-out patients ({', '.join(history['judged'])})"
    best = next(epoch for epoch in reversed(trained.epochs) if epoch.best)
    types = len(history["judged"]) or sum(count > 0 for count in history["patients"].values())
    chance = 1 / max(1, types)
    if not best.type_accuracy >= chance:
        return f"tells the types worse than chance ({best.type_accuracy:.0%} right, by chance {chance:.0%})"
    return None


def _not_judged(history: Mapping[str, Any]) -> str:
    """What the held-out patients say nothing of, as a sentence; empty when there is nothing."""
    if not history["held_out"]:
        return "Nobody was held out of training, so how good it is on other patients is not known."
    left = {name: n for name, n in history["patients"].items() if n and name not in history["judged"]}
    if not left:
        return ""
    told = ", ".join(f"{name} ({n} of {MIN_JUDGED} patients that it takes)" for name, n in left.items())
    return f"Learned from, but not judged, as nobody of that type was held out: {told}."


def _same_network(one: Settings, other: Settings) -> bool:
    """Whether weights of one are weights of the other, seen through the same input."""
    shape = ("types", "no_tumour", "grid_mm", "suv_limit", "intensity", "depth", "strides", "dilations", "widths")
    return all(getattr(one, name) == getattr(other, name) for name in (*shape, "pooling"))


def _comparable(model: Model | None, settings: Settings) -> Model | None:
    """The weights in use, when their validation loss means the same as that of the new ones."""
    return model if model and _same_network(model.settings, settings) else None


def _since(start: float) -> str:
    return str(timedelta(seconds=int(time.time() - start)))


def _finite(value: Any) -> Any:
    """JSON, and so /info/, has no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _gpus(request: Mapping[str, Any]) -> str:
    gpus = request.get("gpus") or ALL  # MONAI Label: nothing is all
    numbers = gpus.split(",") if isinstance(gpus, str) and _GPU_NUMBERS.fullmatch(gpus) else []
    if gpus != ALL and len(set(map(int, numbers))) != max(1, len(numbers)):
        raise InputError(f'train request: gpus {quoted(gpus)} is not "{ALL}" or different GPU numbers such as "0,1"')
    return str(gpus)


def _bounded(request: Mapping[str, Any], key: str, kind: type, low: float, high: float) -> Any:
    value = request.get(key)
    if value is None:
        return None
    number = isinstance(value, int if kind is int else int | float) and not isinstance(value, bool)
    if not number or not low <= value <= high:
        raise InputError(f"train request: {key} {quoted(value)} is not a number between {low} and {high}")
    return kind(value)
