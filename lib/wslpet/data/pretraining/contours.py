"""Fit the contour score on phantoms and published lesions (python -m wslpet.data.pretraining.contours --real DIR)."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from wslpet.core.arrays import Array
from wslpet.core.volume import Volume
from wslpet.data.phantom import PRESETS, make_patient
from wslpet.data.phantom.scenes import make_scene
from wslpet.data.pretraining.weights import FIRST_SEED
from wslpet.data.real_lesions import RealLesion, real_lesions
from wslpet.method.delineation.contour_score import FILE, ContourScore
from wslpet.method.delineation.contours import FEATURES, REACHES_MM, contours
from wslpet.method.inference.localisation import CAM_SD_MM, CLICK_SD_MM

HIDDEN = 16
BATCH = 48
# A box ends at least this far beyond the lesion.
MARGIN_MM = 6.0
FOLDS = 5

# (candidate, feature) measurements, (candidate,) Dice
Candidates = tuple[Array, Array]


def around(ras: Volume, truth: Array, point: Array, uncertainty_mm: float) -> list[Candidates]:
    """All contours around a point (fractional voxel) with their Dice; no group where there is none."""
    far = float((np.abs(np.argwhere(truth) - point) * ras.spacing).max()) + MARGIN_MM
    reach = next((reach for reach in REACHES_MM if reach > far), REACHES_MM[-1])
    found = contours(ras, point, uncertainty_mm, (reach,))
    dice = [2 * (c.inside & truth[c.window]).sum() / (c.inside.sum() + truth.sum()) for c in found]
    return [(np.array([c.features for c in found]), np.array(dice))] if found else []


def of_phantom(seed: int, preset: str) -> list[Candidates]:
    """Around a phantom's click, and around a point as far off as a CAM's."""
    patient = make_patient(seed, PRESETS[preset])
    ras, truth = patient.volume.to_ras(), patient.truth.to_ras().array > 0
    click = ras.to_index(np.array(patient.seed.position))
    rng = np.random.default_rng(seed)
    extra = np.sqrt(max(CAM_SD_MM**2 - CLICK_SD_MM**2, 0.0))
    found = []
    for uncertainty, shift in ((CLICK_SD_MM, 0.0), (CAM_SD_MM, extra)):
        point = click + rng.normal(0, 1, 3) * shift / np.array(ras.spacing)
        found += around(ras, truth, np.clip(point, 0, np.array(ras.shape) - 1), uncertainty)
    return found


def of_scene(seed: int) -> list[Candidates]:
    """Around the click of a scene."""
    scene = make_scene(seed)
    return around(scene.volume, scene.truth, scene.click, CLICK_SD_MM)


def of_lesion(lesion: RealLesion) -> list[Candidates]:
    """Around each click on a real lesion."""
    ras, truth = lesion.volume.to_ras(), lesion.volume.with_array(lesion.truth).to_ras().array
    clicks = ras.to_index(lesion.volume.to_world(lesion.clicks()))
    return [group for click in clicks for group in around(ras, truth, click, CLICK_SD_MM)]


def fit(groups: list[Candidates], epochs: int = 60, seed: int = 0) -> ContourScore:
    """Maximise the expected Dice of a softmax over each patient's candidates."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    everything = np.concatenate([features for features, _ in groups])
    mean, sd = everything.mean(axis=0), everything.std(axis=0) + 1e-6
    padded, dice, absent = _padded([((f - mean) / sd, d) for f, d in groups])
    network = nn.Sequential(nn.Linear(len(FEATURES), HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 1, bias=False))
    optimiser = torch.optim.Adam(network.parameters(), 1e-2, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    for _ in range(epochs):
        order = rng.permutation(len(groups))
        for start in range(0, len(order), BATCH):
            some = order[start : start + BATCH]
            likely = network(padded[some])[..., 0].masked_fill(absent[some], -torch.inf).softmax(dim=1)
            loss = -(likely * dice[some]).sum(dim=1).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()
    arrays = [p.detach().numpy().astype(np.float64) for p in network.parameters()]
    return ContourScore(FEATURES, mean, sd, arrays[0], arrays[1], arrays[2][0])


def _padded(groups: list[Candidates]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features (group, candidate, feature), Dice (group, candidate), and which candidates there are none of (bool)."""
    most = max(len(dice) for _, dice in groups)
    padded = torch.zeros(len(groups), most, groups[0][0].shape[1])
    dice, absent = torch.zeros(len(groups), most), torch.ones(len(groups), most, dtype=torch.bool)
    for number, (features, of_group) in enumerate(groups):
        n = len(of_group)
        padded[number, :n], dice[number, :n] = torch.from_numpy(features), torch.from_numpy(of_group)
        absent[number, :n] = False
    return padded, dice, absent


def achieved(score: ContourScore, groups: list[Candidates]) -> tuple[float, float]:
    """Mean Dice of the contours with the highest score, and of the best candidates."""
    return (
        float(np.mean([dice[score(features).argmax()] for features, dice in groups])),
        float(np.mean([dice.max() for _, dice in groups])),
    )


def _seeds(preset: str, patients: int) -> range:
    return range(FIRST_SEED[preset], FIRST_SEED[preset] + patients)


def cross_validated(cases: list[list[Candidates]], phantoms: list[Candidates]) -> float:
    """Mean Dice of real lesions, each by a score that saw the phantoms and the lesions of other folds."""
    chosen = []
    for fold in range(FOLDS):
        seen = [group for number, case in enumerate(cases) if number % FOLDS != fold for group in case]
        score = fit(phantoms + seen)
        chosen += [achieved(score, case)[0] for case in cases[fold::FOLDS]]
    return float(np.mean(chosen))


def main() -> None:
    """Draw phantoms, fit on four fifths, report on the rest; fit on all, write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=80)
    parser.add_argument("--scenes", type=int, default=700)
    parser.add_argument("--preset", choices=FIRST_SEED, default="train", help="others are to be measured on")
    parser.add_argument("--real", type=Path, metavar="DIR", help="masks that the score may learn from")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=FILE)
    options = parser.parse_args()
    first = FIRST_SEED[options.preset]
    lesions = list(real_lesions(options.real)) if options.real else []
    with ProcessPoolExecutor(options.processes) as pool:
        scenes = _drawn("scenes", pool.map(of_scene, range(first, first + options.scenes), chunksize=8), options.scenes)
        seeds = _seeds(options.preset, options.patients)
        patients = _drawn(
            "phantoms", pool.map(of_phantom, seeds, [options.preset] * len(seeds), chunksize=2), len(seeds)
        )
        cases = _drawn("lesions", pool.map(of_lesion, lesions), len(lesions))
    about: dict[str, object] = {
        "fitted_on": f"{len(patients)} phantoms, preset {options.preset}; {len(scenes)} scenes"
        + (f"; {len(cases)} lesions of {options.real.name}, {len(cases and cases[0])} clicks each" if cases else "")
    }
    drawn = {"phantoms": patients, "scenes": scenes}
    held = {name: [group for case in cases_of[::5] for group in case] for name, cases_of in drawn.items()}
    rest = [group for all_of in drawn.values() for n, case in enumerate(all_of) if n % 5 for group in case]
    score = fit(rest)
    for name, groups in held.items():
        if groups:
            about[f"held_out_{name}"] = _rounded(*achieved(score, groups), len(groups))
    phantoms = rest + [group for groups in held.values() for group in groups]
    real = [group for case in cases for group in case]
    if cases:
        only_phantoms = fit(phantoms)
        best = float(np.mean([achieved(only_phantoms, case)[1] for case in cases]))
        unseen = float(np.mean([achieved(only_phantoms, case)[0] for case in cases]))
        about["real_by_phantoms_only"] = _rounded(unseen, best, len(cases))
        about["real_cross_validated"] = _rounded(cross_validated(cases, phantoms), best, len(cases))
    fit(phantoms + real).save(options.out, **about)
    print(options.out, about)


def _drawn(name: str, found: Iterable[list[Candidates]], total: int) -> list[list[Candidates]]:
    return list(tqdm(found, total=total, desc=name, disable=None))


def _rounded(chosen: float, best: float, n: int) -> dict[str, float]:
    return {"dice": round(chosen, 3), "best_candidate": round(best, 3), "n": n}


if __name__ == "__main__":
    main()
