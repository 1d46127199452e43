"""Whether new weights are better than those in use: a paired test on patients that neither has learned from.

Judged are the place and the type. The server judges by the lesions that a reader sees
(`wslpet.method.segmentation.volumes.judging`); what needs the MIPs alone judges by the CAMs' strongest cell.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from wslpet.core.arrays import Array
from wslpet.core.settings import Settings
from wslpet.method.network.cam import Cams, batch_cams, cell_points
from wslpet.method.network.checkpoint import Model
from wslpet.method.network.inputs import Batch, Sample, collate
from wslpet.method.projection.mip import VIEWS

# A lesion counts as found if the 3D map's strongest cell is at most this far away from its seed, mm.
HIT_MM = 30.0
# One-sided: of trainings that change nothing, at most this share is called better, and at most this share worse.
LEVEL = 0.05
# Fewer patients on whom the two differ cannot reach the level: 1/2⁵ is below it, 1/2⁴ is not.
FEWEST = 5

Verdict = Literal["better", "worse", "cannot tell"]


@dataclass(frozen=True)
class Answer:
    """What one model says of a judged patient.

    Parameters
    ----------
    found : whether the model's place lies near the primary seed; None without a tumour. By the CAMs alone, the place is
        the strongest cell, and near is `HIT_MM`.
    cancer_type : the most probable one.
    error_mm : distance from the place to the seed; None without a tumour, or without a place.
    """

    found: bool | None
    cancer_type: str
    error_mm: float | None


@dataclass(frozen=True)
class Judged:
    """One judged patient: the type that was said, and the answers of the model in use and of the new one."""

    name: str
    cancer_type: str
    before: Answer
    after: Answer

    def gain(self) -> float:
        """Score of the new model minus that of the model in use, −1 to 1: mean of lesion found and type right."""
        return self._score(self.after) - self._score(self.before)

    def _score(self, answer: Answer) -> float:
        right = float(answer.cancer_type == self.cancer_type)
        return right if answer.found is None else (right + float(answer.found)) / 2


@dataclass(frozen=True)
class Judgement:
    """The comparison of two models.

    Parameters
    ----------
    patients : those who judge, by name.
    verdict : by `verdict_of`.
    p_better, p_worse : one-sided, of the sign-flip test; 1 where nobody differs.
    """

    patients: tuple[Judged, ...]
    verdict: Verdict
    p_better: float
    p_worse: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def judge(incumbent: Model, model: Model, samples: Sequence[Sample]) -> Judgement:
    """Compare the model in use with a new one on patients that the new one has not learned from."""
    return judgement_of(
        Judged(sample.name, sample.cancer_type, _answer(incumbent, sample), _answer(model, sample))
        for sample in samples
    )


def judgement_of(judged: Iterable[Judged]) -> Judgement:
    """The verdict on judged patients."""
    patients = tuple(sorted(judged, key=lambda one: one.name))
    verdict, p_better, p_worse = verdict_of(np.array([one.gain() for one in patients]))
    return Judgement(patients, verdict, p_better, p_worse)


def verdict_of(gains: Array) -> tuple[Verdict, float, float]:
    """Give the verdict of a paired test, and its one-sided p values.

    The exact sign-flip (Fisher's randomisation) test of the mean: if nothing changed on average, each patient's gain
    could as well have had the other sign. Patients without a difference say nothing.

    Parameters
    ----------
    gains : (patient,) score of the new model minus that of the model in use, multiples of a half.

    Returns
    -------
    verdict ("better" or "worse" where its p value is at most `LEVEL`, else "cannot tell"), p of better, p of worse.
    """
    differing = gains[gains != 0]
    if len(differing) < FEWEST or not np.isfinite(differing).all():
        return "cannot tell", 1.0, 1.0
    p_better, p_worse = (_p_value(sign * differing) for sign in (1, -1))
    if p_better <= LEVEL:
        return "better", p_better, p_worse
    return "worse" if p_worse <= LEVEL else "cannot tell", p_better, p_worse


def _p_value(gains: Array) -> float:
    """P(sum of gains under random signs ≥ their sum), exact: all are multiples of a half, so the sums are few."""
    halves = np.rint(2 * np.abs(gains)).astype(int)
    chances: Array = np.ones(1)  # of the sums −n, …, n
    for size in halves:
        step = np.zeros(2 * size + 1)
        step[[0, -1]] = 0.5
        chances = np.convolve(chances, step)
    reached = int(np.rint(2 * gains.sum())) + int(halves.sum())
    return float(chances[reached:].sum())


@torch.inference_mode()
def _answer(model: Model, sample: Sample) -> Answer:
    batch = collate([sample], model.settings)
    cams = batch_cams(model.network.eval(), batch, model.settings)
    scores = cams.type_scores(model.settings.pooling)
    miss = float(localisation_error_mm(cams, scores, batch, model.settings)[0])
    seeded = bool(np.isfinite(miss))
    kind = model.settings.classes[int(scores.argmax(dim=1)[0])]
    return Answer(miss <= HIT_MM if seeded else None, kind, round(miss, 1) if seeded else None)


def localisation_error_mm(cams: Cams, scores: Tensor, batch: Batch, settings: Settings) -> Tensor:
    """(n,) distance in mm from the strongest cell of the predicted type's 3D map to the seed; NaN without a seed."""
    rows = torch.arange(len(scores), device=scores.device)
    own = scores.argmax(dim=1)
    coronal, sagittal = cams.coronal[rows, own], cams.sagittal[rows, own]
    z = (coronal.amax(dim=1) + sagittal.amax(dim=1)).argmax(dim=1)
    x, y = coronal[rows, :, z].argmax(dim=1), sagittal[rows, :, z].argmax(dim=1)
    seed = {view: cell_points(batch.points[view], settings) for view in VIEWS}
    offset = torch.stack([x - seed["coronal"][:, 0], y - seed["sagittal"][:, 0], z - seed["coronal"][:, 1]])
    distance: Tensor = offset.norm(dim=0) * cams.cell_mm
    return distance
