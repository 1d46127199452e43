"""People in the frame of the body, and simulated clicks on every lesion."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage
from tqdm import tqdm

from wslpet.core.arrays import Array, BoolArray
from wslpet.data.mip_cohort import MipPerson, read_mip_cohort
from wslpet.method.normal.frame import BodyFrame
from wslpet.method.normal.reference import load_reference
from wslpet.method.segmentation.learner import People

# A click is this far from the hottest place of a lesion, mm (standard deviation of each axis).
CLICK_SD_MM = 2.0
EIGHT_NEIGHBOURS = np.ones((3, 3))


@dataclass(frozen=True, eq=False)
class Cohort:
    """People with their frames; images and masks (person, 1, row, column) are on the frame's grid."""

    people: list[MipPerson]
    frames: list[BodyFrame]
    images: Array
    masks: BoolArray

    @property
    def ill(self) -> BoolArray:
        return np.array([person.cancer_type is not None for person in self.people])

    def learners(self, numbers: Sequence[int], system: str) -> People:
        """What a system is told of some of the people."""
        rng = np.random.default_rng(0)
        clicks = [self._clicks(k, system, rng) for k in numbers]
        masks = self.masks[numbers] if system == "full_masks" else None
        return People(self.images[numbers], tuple(self.people[k].cancer_type for k in numbers), clicks, masks)

    def _clicks(self, k: int, system: str, rng: np.random.Generator) -> list[tuple[int, float, float]]:
        person = self.people[k]
        if person.click is None:
            return []
        pixels = [person.click]
        if system == "every_lesion":
            pixels = simulated_clicks(person, rng)
        return [(0, *self.frames[k].point(pixel, person.image.spacing)) for pixel in pixels]


def simulated_clicks(person: MipPerson, rng: np.random.Generator) -> list[tuple[float, float]]:
    """A click near the hottest place of each lesion (connected component of the mask)."""
    labels, count = ndimage.label(person.mask, EIGHT_NEIGHBOURS)
    smooth = ndimage.gaussian_filter(person.image.pixels, 1)
    places = ndimage.maximum_position(smooth, labels, range(1, count + 1))
    return [tuple(np.array(place) + rng.normal(0, CLICK_SD_MM, 2) / person.image.spacing) for place in places]


def load(folder: Path, cache: Path, workers: int) -> Cohort:
    """Read a cohort and place everybody; the frames are kept in the cache."""
    people = read_mip_cohort(folder)
    missing = [person.name for person in people if person.mask is None]
    if missing:
        raise SystemExit(f"{folder}: {', '.join(missing[:5])} have no mask to be judged by; add masks/")
    frames = _frames(people, cache / f"frames-{folder.resolve().name}-{len(people)}.json", workers)
    images = np.stack([_framed(p.image.pixels, p, f) for p, f in zip(people, frames, strict=True)])
    masks = np.stack([np.nan_to_num(_framed(p.mask, p, f)) > 0.5 for p, f in zip(people, frames, strict=True)])
    return Cohort(people, frames, images[:, None], masks[:, None])


def _framed(pixels: Array, person: MipPerson, frame: BodyFrame) -> Array:
    return frame.to_frame(pixels, person.image.spacing).astype(np.float16)


def _frames(people: list[MipPerson], path: Path, workers: int) -> list[BodyFrame]:
    if path.is_file():
        return [BodyFrame(tuple(one["origin"]), tuple(one["scale"])) for one in json.loads(path.read_text())]
    with ProcessPoolExecutor(workers) as pool:
        work = pool.map(_place, people, chunksize=8)
        frames = list(tqdm(work, total=len(people), desc="frames", unit="person", disable=None))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([{"origin": f.origin, "scale": f.scale} for f in frames]))
    return frames


def _place(person: MipPerson) -> BodyFrame:
    return load_reference().place([person.image])[0]
