"""Fit the probability that a candidate is a lesion, on phantoms (python -m wslpet.data.pretraining.findings)."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from tqdm import tqdm

from wslpet.core.arrays import Array, BoolArray, FloatArray
from wslpet.data.pretraining.segmenter import simulated
from wslpet.method.inference.finding.candidates import FEATURES, Candidate
from wslpet.method.inference.finding.probability import LesionProbability, sure_features
from wslpet.method.inference.finding.selection import is_sure, rows_of
from wslpet.method.inference.forward import run_network
from wslpet.method.network.checkpoint import Model, load_model
from wslpet.method.projection.mip import project
from wslpet.method.shipped import LESION_PROBABILITY

# Kind of phantom, see `segmenter.simulated` → how many; those of "none" have mimics and no tumour.
PATIENTS = {"lifelike": 120, "train-mimics": 90, "several": 60, "plain": 20, "none": 110}
# Other trainings, tests and measurements use other seeds.
FIRST_SEED = 700_000
# A candidate with this share of its voxels in a lesion is one.
RIGHT = 0.5


@dataclass(frozen=True, eq=False)
class Judged:
    """The candidates of one phantom.

    Parameters
    ----------
    kind : a key of `PATIENTS`.
    ill : whether the phantom has a lesion.
    features : (candidate, len(FEATURES)).
    sure : (candidate,) whether the CAMs are sure of each.
    lesion : (candidate,) whether each is one.
    """

    kind: str
    ill: bool
    features: FloatArray
    sure: BoolArray
    lesion: BoolArray


def is_lesion(candidate: Candidate, truth: Array) -> bool:
    """Whether a candidate is a lesion of a mask (x, y, z)."""
    return bool(truth[candidate.contour.window][candidate.contour.inside].mean() > RIGHT)


def judged(kind: str, seed: int, cache: Path) -> Judged:
    """The candidates of a phantom, found once and then read from the cache."""
    path = cache / f"findings-{kind}-{seed}.npz"
    if not path.exists():
        torch.set_num_threads(1)
        ras, truth = simulated(kind, seed)
        output = run_network(project(ras), _model())
        found = output.candidates(ras)
        lesion = np.array([is_lesion(one, truth) for one in found], dtype=bool)
        sure = is_sure(found, output.confidence)
        np.savez(path, features=rows_of(found), sure=sure, lesion=lesion, ill=bool(truth.any()))
    with np.load(path, allow_pickle=False) as content:
        return Judged(kind, bool(content["ill"]), content["features"], content["sure"], content["lesion"])


@lru_cache(1)
def _model() -> Model:
    return load_model()


def fit(people: Sequence[Judged]) -> LesionProbability:
    """Fit the regressions of candidates, with and without the map, and of sure ones; then that of patients."""
    rows, sure, lesion = _table(people)
    shown = ~np.isnan(rows[:, 0])
    candidates = LesionProbability(
        FEATURES,
        _weights(rows[shown], lesion[shown]),
        _weights(rows[:, 1:], lesion),
        _weights(sure_features(rows[sure]), lesion[sure]),
        (1.0, 0.0),
        _model().version,
    )
    with_some = [one for one in people if len(one.features)]
    highest = np.array([[candidates.log_odds(one.features, one.sure).max()] for one in with_some])
    slope, intercept = _weights(highest, np.array([one.ill for one in with_some])).tolist()
    return replace(candidates, patient=(slope, intercept))


def _weights(rows: Array, right: Array) -> Array:
    """(feature + 1,) of a logistic regression, the intercept last."""
    model = LogisticRegression(C=10.0, max_iter=2000).fit(rows, right)
    weights: Array = np.append(model.coef_[0], model.intercept_[0])
    return weights


def _table(people: Sequence[Judged]) -> tuple[Array, Array, Array]:
    """(candidate, feature), (candidate,) and (candidate,) of all phantoms: features, sure, lesion."""
    rows, sure, lesion = (
        np.concatenate([getattr(one, name) for one in people]) for name in ("features", "sure", "lesion")
    )
    return rows, sure, lesion


def report(score: LesionProbability, people: Sequence[Judged]) -> dict[str, float]:
    """Log loss and AUC of candidates, AUC of patients, and the patients' specificity at 95 % sensitivity."""
    rows, sure, lesion = _table(people)
    odds = score.log_odds(rows, sure)
    highest = np.array([score.log_odds(one.features, one.sure).max() if len(one.features) else -50.0 for one in people])
    ill = np.array([one.ill for one in people])
    cut = np.quantile(highest[ill], 0.05)
    return {
        "log_loss": round(float(log_loss(lesion, expit(odds))), 4),
        "auc": round(float(roc_auc_score(lesion, odds)), 4),
        "patient_auc": round(float(roc_auc_score(ill, highest)), 4),
        "specificity_at_95": round(float((highest[~ill] < cut).mean()), 3),
    }


def main() -> None:
    """Find the candidates, fit, write the file; report on a third by a fit on the rest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path("work/pretraining"))
    parser.add_argument("--share", type=float, default=1.0, help="of the phantoms")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=LESION_PROBABILITY)
    args = parser.parse_args()
    args.cache.mkdir(parents=True, exist_ok=True)
    jobs = [
        (kind, FIRST_SEED + 10_000 * number + n)
        for number, kind in enumerate(PATIENTS)
        for n in range(max(3, round(args.share * PATIENTS[kind])))
    ]
    jobs.sort(key=lambda job: job[1] % 10_000 / PATIENTS[job[0]])
    with ProcessPoolExecutor(args.workers) as pool:
        found = pool.map(partial(judged, cache=args.cache), *zip(*jobs, strict=True), chunksize=1)
        people = list(tqdm(found, total=len(jobs), desc="phantoms", disable=None))
    held_out, rest = people[::3], [one for n, one in enumerate(people) if n % 3]
    about = report(fit(rest), held_out)
    fitted = fit(people)
    fitted.save(args.out, fitted_on=f"{len(people)} phantoms: {PATIENTS}", held_out=about)
    print(args.out, about)


if __name__ == "__main__":
    main()
