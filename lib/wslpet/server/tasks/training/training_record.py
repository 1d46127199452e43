"""Records of trainings: the statistics of the latest one for `/info/`, and a file for each run."""

from __future__ import annotations

import json
import logging
import math
import time
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wslpet.core.atomic_io import write_json
from wslpet.method.training.trainer import EpochReport

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

logger = logging.getLogger(__name__)

RUN_FILE = "run.json"
KEY_METRIC = "mean of localisation_rate and type_accuracy"


class TrainingRecord:
    """Statistics of one training, written to disk after every change.

    Parameters
    ----------
    latest : file of the latest training's statistics.
    folder : folder of the published weights; `<name>/<time>/` in it is the folder of this run.
    name : name of the run, from the request.
    """

    def __init__(self, latest: Path, folder: Path, name: str) -> None:
        self._start = time.time()
        self._latest = latest
        self._best = {"metric": -1.0, "epoch": 0}
        self._epochs: list[dict[str, Any]] = []
        self.run = folder / name / time.strftime("%Y%m%d-%H%M%S", time.localtime(self._start))
        self.stats: dict[str, Any] = {"name": name, "start_ts": int(self._start), "epoch": 0, "best_metric": 0.0}

    def begin(self, total_epochs: int) -> None:
        """Record the start of the training."""
        self.stats.update(total_epochs=total_epochs, current_time=self._elapsed())
        self._write()

    def end(self) -> None:
        """Record the end of the training, successful or not."""
        self.stats.pop("current_time", None)
        self.stats.pop("stage", None)
        self.stats["total_time"] = self._elapsed()
        self._write()

    def stage(self, text: str) -> None:
        """Record what is done beside the epochs, in words."""
        self.stats.update(stage=text, current_time=self._elapsed())
        self._write()
        logger.info(text)

    def add(self, epoch: EpochReport, board: SummaryWriter) -> None:
        """Record an epoch, also in TensorBoard."""
        # OHIF and 3D Slicer draw the metric as an accuracy bar.
        metric = (epoch.localisation_rate + epoch.type_accuracy) / 2
        if epoch.best or self._best["epoch"] == 0:
            self._best = {"metric": metric, "epoch": epoch.epoch}
        figures = {name: _finite(value) for name, value in asdict(epoch).items()}
        for name, value in figures.items():
            if isinstance(value, float):
                board.add_scalar(name, value, epoch.epoch)
        self._epochs.append(figures)
        self.stats.update(
            epoch=epoch.epoch,
            total_epochs=epoch.total_epochs,
            current_time=self._elapsed(),
            best_metric=self._best["metric"],
            train={"metrics": {k: figures[k] for k in ("loss", "type_loss", "distance_loss")}},
            eval={
                "metrics": {k: figures[k] for k in ("val_loss", "localisation_rate", "type_accuracy")},
                "key_metric_name": KEY_METRIC,
                "best_metric": self._best["metric"],
                "best_metric_epoch": self._best["epoch"],
            },
        )
        self._write()
        # MONAI Label's train status shows the last lines of this process.
        values = (epoch.epoch, epoch.total_epochs, epoch.loss, epoch.val_loss, epoch.localisation_rate)
        logger.info(
            "epoch %d/%d: loss %.3f, validation %.3f, seed hit %.2f, type accuracy %.2f", *values, epoch.type_accuracy
        )

    def _write(self) -> None:
        write_json(self._latest, self.stats)
        write_json(self.run / RUN_FILE, {**self.stats, "epochs": self._epochs})

    def _elapsed(self) -> str:
        return str(timedelta(seconds=int(time.time() - self._start)))


def read_stats(latest: Path) -> dict[str, Any]:
    """Read the statistics of the latest training. A training that has ended has "total_time", not "current_time"."""
    try:
        stats: dict[str, Any] = json.loads(latest.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return stats


def _finite(value: Any) -> Any:
    """Replace NaN and infinity by None, since JSON has neither."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
