"""Build the shipped reference of the body from phantoms (python -m wslpet.data.pretraining.normal)."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from wslpet.core.arrays import FloatArray
from wslpet.data.phantom import PRESETS, make_patient
from wslpet.method.normal.atlas import Atlas, build_atlas
from wslpet.method.normal.reference import MipImage, Reference, build_template, display_images, save_reference
from wslpet.method.projection.mip import project
from wslpet.method.shipped import NORMAL_REFERENCE

PRESET = "lifelike"
FIRST_SEED = 900_000
# The template is made of scans from the head to the thighs, which are longer than this; others are fitted to it.
WHOLE_MM = 880.0
TEMPLATE_PEOPLE = 24


def phantom_people(count: int, preset: str = PRESET) -> Iterator[tuple[MipImage, MipImage]]:
    """Yield the MIPs of phantoms without a tumour."""
    settings = replace(PRESETS[preset], no_tumour_fraction=1.0)
    for seed in tqdm(range(FIRST_SEED, FIRST_SEED + count), unit="phantom", disable=None):
        yield display_images(project(make_patient(seed, settings).volume.to_ras()))


def build_reference(people: list[tuple[MipImage, MipImage]]) -> Reference:
    """Build the template from whole bodies, and the atlas from all phantoms."""
    whole = [images for images in people if images[0].pixels.shape[0] * images[0].spacing[0] > WHOLE_MM]
    template, weight = build_template(whole[:TEMPLATE_PEOPLE])
    reference = Reference(template, weight, Atlas(np.zeros((2, 2, 1, 1)), 0))
    placed: list[list[FloatArray]] = []
    for images in tqdm(people, unit="fit", disable=None):
        frames = reference.place(images)
        placed.append([f.to_frame(i.pixels, i.spacing).astype(np.float16) for i, f in zip(images, frames, strict=True)])
    return Reference(template, weight, build_atlas(np.array(placed)))


def main() -> None:
    """Simulate phantoms, build the reference, and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--preset", default=PRESET)
    parser.add_argument("--out", type=Path, default=NORMAL_REFERENCE)
    args = parser.parse_args()
    reference = build_reference(list(phantom_people(args.people, args.preset)))
    save_reference(reference, args.out)
    print(f"{args.out}: {reference.atlas.people} phantoms")


if __name__ == "__main__":
    main()
