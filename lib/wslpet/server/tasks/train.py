"""Training task `wslpet`: trains on the seeds in the datastore and publishes the weights.

Runs in a separate process, which MONAI Label starts and may kill. It reads the seed log, writes statistics after each
epoch, and renames new weights into place at the end, if they do better than those in use; killed before that, it
leaves the published weights as they were.
"""

from __future__ import annotations

import json
import logging
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monailabel.interfaces.tasks.train import TrainTask

from wslpet.core.atomic_io import write_json
from wslpet.core.errors import InputError, TrainingError
from wslpet.core.seeds import Seed
from wslpet.core.settings import Settings
from wslpet.io.cache.disk_cache import DiskCache, pack_arrays, unpack_arrays
from wslpet.method.network.checkpoint import Model, best_device
from wslpet.method.network.inputs import Example, example_arrays, example_from_arrays, prepare
from wslpet.method.training.trainer import MIN_JUDGED, MIN_PER_TYPE, EpochReport, Trained, train
from wslpet.server.http.request_models import TrainRequest, parsed
from wslpet.server.storage.datastore import SeededDatastore
from wslpet.server.tasks.active_model import ActiveModel

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

logger = logging.getLogger(__name__)

# Some thousand patients.
PREPARED_BYTES = 1 << 30

RUN_FILE = "run.json"
# At 10 the scheduler gives nine tenths of a processor to the server when both want it.
NICENESS = 10


class _Record:
    """Record of a training: the latest statistics, and those of every epoch in its folder `run`."""

    def __init__(self, latest: Path, run: Path, stats: dict[str, Any]) -> None:
        self._latest = latest
        self.run = run
        self.stats = stats
        self.epochs: list[dict[str, Any]] = []

    def write(self) -> None:
        write_json(self._latest, self.stats)
        write_json(self.run / RUN_FILE, {**self.stats, "epochs": self.epochs})


class LearnFromSeeds(TrainTask):
    """Train on every image whose newest seed has a configured type."""

    def __init__(self, weights: ActiveModel, settings: Settings) -> None:
        super().__init__("Learns to find tumours and tell their types from the clicks so far")
        self._weights = weights
        self._settings = settings
        self._stats_file = weights.published.with_name("train_stats.json")

    def config(self) -> dict[str, Any]:
        """The options that viewers show, those of MONAI Label's own tasks among them."""
        return {
            "name": TrainRequest.NAME,
            "pretrained": True,
            "max_epochs": self._settings.epochs,
            "val_split": self._settings.validation,
        }

    def stats(self) -> dict[str, Any]:
        """Of the latest training, after each epoch. "total_time" instead of "current_time" says that it has ended."""
        try:
            stats: dict[str, Any] = json.loads(self._stats_file.read_text(encoding="utf-8"))
            return stats
        except (FileNotFoundError, ValueError):
            return {}

    def check(self, request: Mapping[str, Any], datastore: SeededDatastore) -> None:
        """Raise what training would refuse: the request's values, or annotations that teach nothing."""
        parsed(TrainRequest, "train", request)
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
        asked = parsed(TrainRequest, "train", request)
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

        settings, stats = _applied(asked, self._settings), record.stats
        stats.update(total_epochs=settings.epochs, current_time=_since(start))
        record.write()
        examples, skipped = self._examples(datastore, settings)
        in_use = self._weights.current()
        initial = in_use if asked.continues and in_use and _same_network(in_use.settings, settings) else None
        counts = dict(Counter(example.cancer_type for example in examples))
        logger.info("training on %s, %s", counts, "from the weights in use" if initial else "from scratch")
        stats.update(patients=counts, skipped=skipped, from_scratch=initial is None)
        with SummaryWriter(str(record.run)) as board:
            report = self._reporter(record, start, board)
            incumbent = _comparable(in_use, settings)
            trained = train(examples, settings, initial, best_device(), report, incumbent=incumbent)
        self._publish(trained, stats)

    def _examples(self, datastore: SeededDatastore, settings: Settings) -> tuple[list[Example], dict[str, str]]:
        """Projections of the annotated patients, and what keeps the others out: image → reason."""
        examples, skipped = [], {}
        cache = DiskCache(datastore.private / "prepared", PREPARED_BYTES)
        for image, seed in sorted(datastore.seeded().items()):
            try:
                examples.append(_prepared(datastore, cache, image, seed, settings))
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


def _applied(request: TrainRequest, settings: Settings) -> Settings:
    epochs = settings.epochs if request.max_epochs is None else request.max_epochs
    validation = settings.validation if request.val_split is None else request.val_split
    return replace(settings, epochs=epochs, validation=validation)


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


def _prepared(datastore: SeededDatastore, cache: DiskCache, image: str, seed: Seed, settings: Settings) -> Example:
    """The patient's projections, from the cache when neither its file nor its seed nor the grid changed."""
    key = json.dumps([datastore.image_version(image), seed.cancer_type, seed.position, settings.grid_mm, 1])
    cached = cache.get(key)
    if cached is not None:
        return replace(example_from_arrays(unpack_arrays(cached)), name=image)
    example = prepare(datastore.views(image), seed, settings)
    cache.set(key, pack_arrays(example_arrays(example)))
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
    """Whether weights trained with one fit the other: same architecture and same input."""
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
