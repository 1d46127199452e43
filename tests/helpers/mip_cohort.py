"""A cohort of MIPs on disk: bodies in the frame, discs of two cancer types, and lesion-free people."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
from PIL import Image

from tests.helpers.mip_people import disc
from wslpet.method.network.coarse_segmenter import SATURATION_SUV

ROWS, COLUMNS = 320, 256
# Lung cancer lies high, lymphoma low.
PLACES = {"lung": (100, 100), "lymphoma": (180, 150)}


def write_mip_cohort(folder: Path, of_each: int = 4, well: int = 12) -> Path:
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    kinds = [kind for kind in PLACES for _ in range(of_each)] + ["none"] * well
    rows = []
    for number, kind in enumerate(kinds):
        image = np.full((ROWS, COLUMNS), 0.02)
        image[20:300, 60:196] = rng.uniform(0.8, 1.2)
        mask = np.zeros(image.shape, dtype=bool)
        click = ("", "")
        if kind != "none":
            centre = np.array(PLACES[kind]) + rng.integers(-12, 13, 2)
            mask, click = disc(tuple(centre), 8, ROWS), (centre[1], centre[0])
            image[mask] = 6.0
        name = f"{kind}-{number}"
        image *= rng.normal(1, 0.03, image.shape)
        grey = np.clip(np.round(255 * (1 - image / SATURATION_SUV)), 0, 255).astype(np.uint8)
        Image.fromarray(grey).save(folder / "images" / f"{name}.png")
        if kind != "none":
            Image.fromarray((mask * 255).astype(np.uint8)).save(folder / "masks" / f"{name}.png")
        rows.append((name, kind, *click))
    with open(folder / "cohort.csv", "w", newline="") as file:
        csv.writer(file).writerows([("image", "cancer_type", "click_x", "click_y"), *rows])
    return folder


def keep_frames(folder: Path, cache: Path, people: int) -> None:
    """The bodies are in the frame already; placing them would take a second each."""
    cache.mkdir(parents=True)
    frame = {"origin": (0.0, 0.0), "scale": (1.0, 1.0)}
    (cache / f"frames-{folder.name}-{people}.json").write_text(json.dumps([frame] * people))
