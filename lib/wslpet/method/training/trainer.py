"""The training loop: cancer types and seeds → model (paper §2.2, §3.2)."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from wslpet.core.errors import TrainingError
from wslpet.core.seeds import NO_TUMOUR
from wslpet.core.settings import Settings
from wslpet.method.network.cam import Cams, batch_cams, cell_points
from wslpet.method.network.checkpoint import Model, new_network
from wslpet.method.network.inputs import Batch, Example, Sample, collate
from wslpet.method.projection.mip import VIEWS
from wslpet.method.training.augmentation import Augmentation, augmented_batches
from wslpet.method.training.judging import HIT_MM, Judgement, judge, localisation_error_mm
from wslpet.method.training.losses import distance_loss, type_loss
from wslpet.method.training.parts import MIN_PER_TYPE, Parts, split


@dataclass(frozen=True)
class EpochReport:
    """Losses and metrics of one epoch; without held-out patients, validation uses the training patients.

    Parameters
    ----------
    loss, type_loss, distance_loss : means over the training patients.
    val_loss : the same sum on the held-out patients, without augmentation.
    localisation_rate : share of held-out seeds within `HIT_MM` of the strongest cell of the 3D map.
    type_accuracy : share of held-out patients whose type is right.
    seconds : since training began.
    best : whether `val_loss` is the lowest so far.
    """

    epoch: int
    total_epochs: int
    loss: float
    type_loss: float
    distance_loss: float
    val_loss: float
    localisation_rate: float
    type_accuracy: float
    seconds: float
    best: bool


@dataclass(frozen=True, eq=False)
class Trained:
    """The result of a training.

    Parameters
    ----------
    model : the weights of the best epoch.
    epochs : every epoch's report.
    initial : validation figures of the model it started from or would replace, if any.
    judgement : on patients that neither learned from nor chose the epoch; None without a model to compare with. Of a
        type in `model.history["patients"]` that is not in `model.history["judged"]` nobody judged.
    """

    model: Model
    epochs: list[EpochReport] = field(default_factory=list)
    initial: dict[str, float] | None = None
    judgement: Judgement | None = None

    @property
    def better(self) -> bool:
        """Whether `model` was shown to be better than the one in use, or there is none."""
        return self.judgement is None or self.judgement.verdict == "better"


def train(
    examples: Sequence[Example],
    settings: Settings,
    initial: Model | None = None,
    device: str = "cpu",
    report: Callable[[EpochReport], bool] | None = None,
    augmentation: Augmentation | None = None,
    incumbent: Model | None = None,
    judging: float | None = None,
) -> Trained:
    """Train the CAM network on annotated patients.

    Parameters
    ----------
    examples : one per patient, from `prepare`. All stay on the device during the training, about 1.3 MB each: 2,000
        are 2.6 GB.
    initial : weights to start from; None starts from scratch.
    report : called after each epoch; True from it ends the training early.
    augmentation : None is the default of `Augmentation`.
    incumbent : the model in use, which the new one is compared with; default: `initial`.
    judging : share of the patients who are kept for that comparison, by a hash of their id. Default: the setting
        `validation` where there is a model to compare with, else 0.

    Raises
    ------
    TrainingError
        when there are too few patients, or of one type only.
    """
    _check(examples, settings)
    incumbent = incumbent or initial
    if judging is None:
        judging = 0.0 if incumbent is None else settings.validation
    parts = split([example.to(device) for example in examples], settings.validation, judging)
    fitting, held_out = parts.learning, parts.stopping
    torch.manual_seed(settings.random_seed)  # dropout
    rng = np.random.default_rng(settings.random_seed)
    config = augmentation or Augmentation()
    network = (new_network(settings) if initial is None else copy.deepcopy(initial.network)).to(device)
    validation = _batches(held_out or fitting, settings, 16)
    before = None
    if incumbent is not None:
        before = _validate(incumbent.network.to(device), validation, incumbent.settings)

    rate = settings.learning_rate * (1.0 if initial is None else settings.fine_tuning)
    optimiser, schedule = _optimiser(network, settings, rate, len(fitting), device)
    start, reports, best_state, best_loss, since = time.monotonic(), [], None, float("inf"), 0
    for epoch in range(1, settings.epochs + 1):
        means = _epoch(network, fitting, settings, rng, config, optimiser, schedule)
        after = _validate(network, validation, settings)
        improved = after["val_loss"] < best_loss
        since = 0 if improved else since + 1
        if improved:
            best_loss, best_state = after["val_loss"], copy.deepcopy(network.state_dict())
        latest = EpochReport(epoch, settings.epochs, *means, **after, seconds=time.monotonic() - start, best=improved)
        reports.append(latest)
        asked_to_stop = report is not None and report(reports[-1])
        if asked_to_stop or since >= settings.patience:
            break
    if best_state is None:
        raise TrainingError("training diverged: no epoch had a finite loss; lower learning_rate")
    network.load_state_dict(best_state)
    model = Model(network.eval(), settings, _history(reports, parts, settings))
    return Trained(model, reports, before, None if incumbent is None else judge(incumbent, model, parts.judging))


def _optimiser(
    network: nn.Module, settings: Settings, rate: float, patients: int, device: str
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """AdamW with one cycle of the learning rate, whose maximum is `rate`, over all epochs."""
    on_gpu = torch.device(device).type == "cuda"
    optimiser = torch.optim.AdamW(network.parameters(), rate, weight_decay=settings.weight_decay, fused=on_gpu or None)
    steps = settings.epochs * max(1, -(-patients // settings.batch_size))
    return optimiser, torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.15)


def _check(examples: Sequence[Example], settings: Settings) -> None:
    counts = {name: sum(e.cancer_type == name for e in examples) for name in settings.classes}
    found = ", ".join(f"{n} {name}" for name, n in counts.items())
    if not examples:
        raise TrainingError("no patient has a seed yet; click one tumour per patient, then train")
    if sum(n >= MIN_PER_TYPE for n in counts.values()) < 2:
        raise TrainingError(
            f"training needs {MIN_PER_TYPE} patients of at least two types, there are {found}; annotate more"
        )


def _batches(samples: list[Sample], settings: Settings, size: int) -> list[Batch]:
    # Patients of similar length together need less padding.
    ordered = sorted(samples, key=lambda sample: sample.images["coronal"].shape[2])
    return [collate(ordered[i : i + size], settings) for i in range(0, len(ordered), size)]


def losses(network: nn.Module, batch: Batch, settings: Settings) -> tuple[Cams, Tensor, Tensor, Tensor]:
    """Forward pass of a batch → CAMs, type scores (n, class), loss 1, loss 2."""
    cams = batch_cams(network, batch, settings)
    scores = cams.type_scores(settings.pooling)
    points, others = (
        {view: cell_points(places[view], settings) for view in VIEWS} for places in (batch.points, batch.others)
    )
    distance = distance_loss(cams, batch.types, points, settings.distance, others)
    return cams, scores, type_loss(scores, batch.types), distance


def _epoch(
    network: nn.Module,
    samples: list[Sample],
    settings: Settings,
    rng: np.random.Generator,
    config: Augmentation,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> tuple[float, float, float]:
    network.train()
    sums = torch.zeros(3, dtype=torch.float64, device=samples[0].device)
    for batch in augmented_batches(samples, settings, rng, config):
        sums += step(network, batch, settings, optimiser).double() * len(batch.types)
        schedule.step()
    loss_mean, type_mean, distance_mean = (sums / len(samples)).tolist()
    return loss_mean, type_mean, distance_mean


def step(network: nn.Module, batch: Batch, settings: Settings, optimiser: torch.optim.Optimizer) -> Tensor:
    """One optimisation step on a batch; it does not synchronise with a GPU.

    Returns
    -------
    (3,) loss, loss 1 and loss 2: means over the batch.
    """
    _, _, first, second = losses(network, batch, settings)
    loss = first + settings.distance_weight * second
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimiser.step()
    return torch.stack([loss, first, second]).detach()


@torch.inference_mode()
def _validate(network: nn.Module, batches: list[Batch], settings: Settings) -> dict[str, float]:
    network.eval()
    sums = torch.zeros(4, dtype=torch.float64, device=batches[0].types.device)
    for batch in batches:
        cams, scores, first, second = losses(network, batch, settings)
        loss = (first + settings.distance_weight * second).double() * len(batch.types)
        right = scores.argmax(dim=1) == batch.types
        miss = localisation_error_mm(cams, scores, batch, settings)
        counts = torch.stack([right, miss <= HIT_MM, torch.isfinite(miss)]).double().sum(dim=1)
        sums += torch.cat([loss[None], counts])
    n = sum(len(batch.types) for batch in batches)
    loss_sum, n_right, hits, seeded = sums.tolist()
    return {"val_loss": loss_sum / n, "localisation_rate": hits / max(seeded, 1), "type_accuracy": n_right / n}


def _history(reports: list[EpochReport], parts: Parts[Sample], settings: Settings) -> dict[str, Any]:
    best = next(r for r in reversed(reports) if r.best)
    everyone, held_out = [*parts.learning, *parts.stopping, *parts.judging], parts.stopping
    counts = {name: sum(s.cancer_type == name for s in everyone) for name in settings.classes}
    return {
        "patients": counts,
        "held_out": len(held_out),
        "judging": len(parts.judging),
        "judged": sorted({sample.cancer_type for sample in parts.judging}),
        "no_tumour": counts.get(NO_TUMOUR, 0),
        "best": asdict(best),
        "epochs": len(reports),
        "validated_on": "held-out patients" if held_out else "the training patients",
    }
