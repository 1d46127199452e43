"""Training task `wslpet`: trains on the seeds in the datastore, and publishes the weights if they are better.

The task runs in a process of its own, which MONAI Label starts and may kill. It reads the seed log, writes statistics
after each epoch, and at the end renames the new weights into place if they are better than those in use. If it is
killed before that, the published weights are unchanged.
"""

from __future__ import annotations

import logging
import os
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from monailabel.interfaces.tasks.train import TrainTask

from wslpet.core.errors import InputError, TrainingError
from wslpet.core.settings import Settings
from wslpet.method.network.checkpoint import Model, best_device, save_model
from wslpet.method.segmentation.volumes.judging import judge_lesions
from wslpet.method.segmentation.volumes.site import with_segmenter
from wslpet.method.training.judging import Judgement
from wslpet.method.training.parts import MIN_PER_TYPE
from wslpet.method.training.trainer import EpochReport, Trained, train
from wslpet.server.http.request_models import TrainRequest, parsed
from wslpet.server.storage.datastore import SeededDatastore
from wslpet.server.tasks.active_model import ActiveModel
from wslpet.server.tasks.normal_uptake import renew_atlas
from wslpet.server.tasks.training.decision import CANDIDATE_FILE
from wslpet.server.tasks.training.examples import examples_of
from wslpet.server.tasks.training.publication import comparable, doubt_of_types, not_judged, objection, same_network
from wslpet.server.tasks.training.training_record import TrainingRecord, read_stats

logger = logging.getLogger(__name__)

# Every so many steps of the segmenter, the page hears of them.
REPORTED = 10
# With niceness 10, the server gets nine tenths of a processor if both need it.
NICENESS = 10


class LearnFromSeeds(TrainTask):
    """Train on every image whose annotation in force has a configured type."""

    def __init__(self, weights: ActiveModel, settings: Settings) -> None:
        super().__init__("Learns to find tumours and tell their types from the clicks so far")
        self._weights = weights
        self._settings = settings
        self._stats_file = weights.published.with_name("train_stats.json")

    def config(self) -> dict[str, Any]:
        """Options that viewers show; they are those of MONAI Label's own train tasks."""
        return {
            "name": TrainRequest.NAME,
            "pretrained": True,
            "max_epochs": self._settings.epochs,
            "val_split": self._settings.validation,
        }

    def stats(self) -> dict[str, Any]:
        """As `wslpet.server.tasks.training.training_record.read_stats`."""
        return read_stats(self._stats_file)

    def check(self, request: Mapping[str, Any], datastore: SeededDatastore) -> None:
        """Raise InputError for a request that a training would refuse, or if there are too few annotations."""
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
            if the request is not valid, or there are too few annotations.
        """
        _give_way()
        self.check(request, datastore)
        asked = parsed(TrainRequest, "train", request)
        record = TrainingRecord(self._stats_file, self.folder, asked.name)
        try:
            self._train(asked, datastore, record)
        except InputError as error:
            record.stats["error"] = str(error)
            raise
        finally:
            record.end()
        return record.stats

    @property
    def folder(self) -> Path:
        """Folder of the published weights; `<name>/<time>/` in it has the record of each run, and TensorBoard's."""
        return self._weights.published.parent

    def _train(self, asked: TrainRequest, datastore: SeededDatastore, record: TrainingRecord) -> None:
        from torch.utils.tensorboard import SummaryWriter  # slow to import, and not needed by the server

        settings, stats = _applied(asked, self._settings), record.stats
        record.begin(settings.epochs)
        examples = examples_of(datastore, settings)
        record.stage("what is normal here is measured")
        renew_atlas(datastore, examples.lesions)
        in_use = self._weights.current()
        initial = in_use if asked.continues and in_use and same_network(in_use.settings, settings) else None
        counts = dict(Counter(example.cancer_type for example in examples.cam))
        logger.info("training on %s, %s", counts, "from the weights in use" if initial else "from scratch")
        stats.update(patients=counts, skipped=examples.skipped, from_scratch=initial is None)
        incumbent, share = comparable(in_use, settings), settings.validation
        with SummaryWriter(str(record.run)) as board:

            def report(epoch: EpochReport) -> bool:
                record.add(epoch, board)
                return False

            trained = train(examples.cam, settings, initial, best_device(), report, incumbent=incumbent, judging=share)
        before = None if initial is None else initial.segmenter

        def step(number: int, steps: int) -> None:
            if number % REPORTED == 0:
                record.stage(f"the segmenter learns, step {number} of {steps}")

        model = with_segmenter(trained.model, examples.lesions, share, before, best_device(), step)
        stats["segmenter"] = model.history.get("segmenter")
        record.stage("the patients who judge are read")
        trained = replace(trained, model=model, judgement=_judged(trained.judgement, incumbent, model, datastore))
        # Also weights that are not published: a person may decide for them.
        save_model(trained.model, record.run / CANDIDATE_FILE)
        self._publish(trained, stats)

    def _publish(self, trained: Trained, stats: dict[str, Any]) -> None:
        why_not = objection(trained)
        stats["published"] = why_not is None
        doubt = "" if why_not else doubt_of_types(trained)
        stats["not_judged"] = f"{not_judged(trained.model.history)} {doubt}".strip()
        stats["judgement"] = None if trained.judgement is None else trained.judgement.to_dict()
        stats["model_version"] = trained.model.version
        if why_not is None:
            self._weights.history.publish(trained.model)
        else:
            stats["not_published"] = why_not
        logger.info("version %s %s", trained.model.version, f"{why_not}: dropped" if why_not else "published")


def _applied(request: TrainRequest, settings: Settings) -> Settings:
    epochs = settings.epochs if request.max_epochs is None else request.max_epochs
    validation = settings.validation if request.val_split is None else request.val_split
    return replace(settings, epochs=epochs, validation=validation)


def _judged(
    by_cams: Judgement | None, incumbent: Model | None, model: Model, datastore: SeededDatastore
) -> Judgement | None:
    """The judgement by the lesions found, on the patients who judged the CAMs; None without a model to compare with."""
    if by_cams is None or incumbent is None:
        return by_cams
    said = datastore.seeded()
    names = [one.name for one in by_cams.patients]
    return judge_lesions(incumbent, model, ((name, datastore.volume(name), said[name]) for name in names))


def _left_out(datastore: SeededDatastore) -> str:
    """Return words on annotations that are not counted, which follow a sentence; "" if there are none."""
    uncounted = datastore.uncounted()
    if not uncounted:
        return ""
    image, why = min(uncounted.items())
    return f". Not counted: {len(uncounted)} that were annotated, such as {image}: {why}"


def _give_way() -> None:
    """Lower the priority of a training process, so that the server answers first; not within the server itself."""
    if "monailabel.app" not in sys.modules and os.nice(0) < NICENESS:
        os.nice(NICENESS - os.nice(0))
