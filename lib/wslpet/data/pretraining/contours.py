"""Fit the contour score on phantoms (python -m wslpet.data.pretraining.contours)."""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from wslpet.core.arrays import Array
from wslpet.data.phantom import PRESETS, make_patient
from wslpet.data.pretraining.weights import FIRST_SEED
from wslpet.method.delineation.contour_score import FILE, ContourScore
from wslpet.method.delineation.contours import FEATURES, contours
from wslpet.method.inference.localisation import CAM_SD_MM, CLICK_SD_MM

HIDDEN = 16

# (candidate, feature) measurements, (candidate,) Dice
Candidates = tuple[Array, Array]


def candidates(seed: int, preset: str) -> list[Candidates]:
    """Candidate contours, with their Dice, around a simulated click and around a point as inaccurate as a CAM's."""
    patient = make_patient(seed, PRESETS[preset])
    ras, truth = patient.volume.to_ras(), patient.truth.to_ras().array > 0
    click = ras.to_index(np.array(patient.seed.position))
    rng = np.random.default_rng(seed)
    extra = np.sqrt(max(CAM_SD_MM**2 - CLICK_SD_MM**2, 0.0))
    found = []
    for uncertainty, shift in ((CLICK_SD_MM, 0.0), (CAM_SD_MM, extra)):
        point = click + rng.normal(0, 1, 3) * shift / np.array(ras.spacing)
        all_contours = contours(ras, np.clip(point, 0, np.array(ras.shape) - 1), uncertainty)
        dice = [2 * (c.inside & truth[c.window]).sum() / (c.inside.sum() + truth.sum()) for c in all_contours]
        found.append((np.array([c.features for c in all_contours]), np.array(dice)))
    return found


def fit(groups: list[Candidates], epochs: int = 150, seed: int = 0) -> ContourScore:
    """Fit the contour score: maximise the expected Dice of a softmax over each patient's candidates."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    everything = np.concatenate([features for features, _ in groups])
    mean, sd = everything.mean(axis=0), everything.std(axis=0) + 1e-6
    tensors = [(torch.tensor((f - mean) / sd).float(), torch.tensor(d).float()) for f, d in groups]
    network = nn.Sequential(nn.Linear(len(FEATURES), HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 1, bias=False))
    optimiser = torch.optim.Adam(network.parameters(), 1e-2, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    for _ in range(epochs):
        order = rng.permutation(len(tensors))
        for start in range(0, len(order), 16):
            chosen = [tensors[i] for i in order[start : start + 16]]
            loss = -torch.stack([(network(f)[:, 0].softmax(0) * d).sum() for f, d in chosen]).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()
    arrays = [p.detach().numpy().astype(np.float64) for p in network.parameters()]
    return ContourScore(FEATURES, mean, sd, arrays[0], arrays[1], arrays[2][0])


def achieved(score: ContourScore, groups: list[Candidates]) -> tuple[float, float]:
    """Mean Dice of the contours with the highest score, and of the best candidates."""
    return (
        float(np.mean([dice[score(features).argmax()] for features, dice in groups])),
        float(np.mean([dice.max() for _, dice in groups])),
    )


def _seeds(preset: str, patients: int) -> range:
    return range(FIRST_SEED[preset], FIRST_SEED[preset] + patients)


def main() -> None:
    """Generate phantoms, fit on four fifths, report on the rest, write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=320)
    parser.add_argument("--preset", choices=FIRST_SEED, default="train", help="others are to be measured on")
    parser.add_argument("--out", type=Path, default=FILE)
    options = parser.parse_args()
    seeds = _seeds(options.preset, options.patients)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        drawn = pool.map(candidates, seeds, [options.preset] * len(seeds), chunksize=2)
        per_patient = list(tqdm(drawn, total=len(seeds), desc="phantoms"))
    held = len(per_patient) // 5
    fitting = [g for patient in per_patient[held:] for g in patient]
    score = fit(fitting)
    about: dict[str, object] = {"fitted_on": f"{len(per_patient) - held} phantoms, preset {options.preset}"}
    for kind, number in (("click", 0), ("CAM", 1)):
        chosen, best = achieved(score, [patient[number] for patient in per_patient[:held]])
        about[f"held_out_dice_{kind}"] = {"chosen": round(chosen, 3), "best_candidate": round(best, 3), "n": held}
    score.save(options.out, **about)
    print(options.out, about)


if __name__ == "__main__":
    main()
