"""People in the frame of the body, their folds, and simulated clicks on every lesion."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy import ndimage
from tqdm import tqdm

from wslpet.analysis.statistics import folds
from wslpet.core.arrays import Array, BoolArray
from wslpet.core.errors import InputError
from wslpet.core.seeds import NO_TUMOUR
from wslpet.data.mip_cohort import MipPerson, read_mip_cohort
from wslpet.method.normal.frame import GRID_MM, BodyFrame
from wslpet.method.normal.reference import load_reference
from wslpet.method.segmentation.learner import People

# A click is this far from the hottest place of a lesion, mm (standard deviation of each axis).
CLICK_SD_MM = 2.0
EIGHT_NEIGHBOURS = np.ones((3, 3))

# Numbers of the people that a system learns from, and of those that it is judged on.
Part = tuple[list[int], list[int]]


@dataclass(frozen=True, eq=False)
class Cohort:
    """People with their frames."""

    people: list[MipPerson]
    frames: list[BodyFrame]

    @cached_property
    def images(self) -> Array:
        """(person, 1, row, column) float16 SUV on the frame's grid, NaN outside the scan."""
        placed = zip(self.people, self.frames, strict=True)
        return np.stack([_framed(person.image.pixels, person, frame) for person, frame in placed])[:, None]

    @cached_property
    def masks(self) -> BoolArray:
        """(person, 1, row, column) all lesions on the frame's grid."""
        placed = zip(self.people, self.frames, strict=True)
        return np.stack([np.nan_to_num(_framed(truth_of(person), person, frame)) > 0.5 for person, frame in placed])[
            :, None
        ]

    @property
    def ill(self) -> BoolArray:
        """(person,) whether there is a lesion."""
        return np.array([person.cancer_type is not None for person in self.people])

    @property
    def types(self) -> tuple[str, ...]:
        """The cancer types, sorted."""
        return tuple(sorted({person.cancer_type for person in self.people if person.cancer_type is not None}))

    def parts(self, number: int, seed: int = 0) -> list[Part]:
        """Folds, stratified by cancer type, each person in one: who is learned from, who is judged."""
        strata = [person.cancer_type for person in self.people]
        tests = folds(strata, [person.person for person in self.people], number, seed)
        return [(np.setdiff1d(np.arange(len(strata)), test).tolist(), test.tolist()) for test in tests]

    def some(self, numbers: Sequence[int], size: int, seed: int = 0) -> list[int]:
        """All lesion-free people, and `size` patients drawn at random; 0 are all of them."""
        ill = [k for k in numbers if self.ill[k]]
        chosen = set(np.random.default_rng(seed).permutation(ill)[: size or None].tolist())
        return [k for k in numbers if not self.ill[k] or k in chosen]

    def shuffled(self, seed: int = 0) -> Cohort:
        """The cohort with everybody's labels (cancer type, click) shuffled among them; masks stay where they are.

        A click keeps its place in the frame of the body.
        """
        order = np.random.default_rng(seed).permutation(len(self.people)).tolist()
        people = []
        for k, source in enumerate(order):
            label = self.people[source]
            click = None if label.click is None else self._moved(label.click, source, k)
            people.append(replace(self.people[k], cancer_type=label.cancer_type, click=click))
        return replace(self, people=people)

    def _moved(self, click: tuple[int, int], source: int, target: int) -> tuple[int, int]:
        """The pixel of another person's image that lies at the same place of the frame as a click."""
        place = self.frames[source].point(click, self.people[source].image.spacing)
        frame, image = self.frames[target], self.people[target].image
        at = frame.origin + np.array(frame.scale) * (place + 0.5) * GRID_MM
        row, column = np.clip(np.rint(at / image.spacing - 0.5), 0, np.array(image.pixels.shape) - 1).astype(int)
        return int(row), int(column)

    def on_image(self, k: int, values: Array) -> Array:
        """Values (row, column) of the frame's grid at the pixels of a person's image; 0 outside the frame."""
        image = self.people[k].image
        rows, columns = image.pixels.shape
        return self.frames[k].from_frame(values, (rows, columns), image.spacing)

    def learners(self, numbers: Sequence[int], system: str) -> People:
        """What a system is told of some of the people."""
        rng = np.random.default_rng(0)
        clicks = [self._clicks(k, system, rng) for k in numbers]
        masks = self.masks[list(numbers)] if system == "full_masks" else None
        return People(self.images[list(numbers)], tuple(self.people[k].cancer_type for k in numbers), clicks, masks)

    def _clicks(self, k: int, system: str, rng: np.random.Generator) -> list[tuple[int, float, float]]:
        person = self.people[k]
        if person.click is None:
            return []
        pixels: list[tuple[float, float]] = [person.click]
        if system == "every_lesion":
            pixels = simulated_clicks(person, rng)
        places = [self.frames[k].point(pixel, person.image.spacing) for pixel in pixels]
        return [(0, float(place[0]), float(place[1])) for place in places]


def truth_of(person: MipPerson) -> BoolArray:
    """(row, column) the expert's mask.

    Raises
    ------
    InputError
        when there is none.
    """
    if person.mask is None:
        raise InputError(f"{person.name} has no mask to be judged by; add it to masks/")
    return person.mask


def simulated_clicks(person: MipPerson, rng: np.random.Generator) -> list[tuple[float, float]]:
    """A click near the hottest place of each lesion (connected component of the mask)."""
    labels, count = ndimage.label(truth_of(person), EIGHT_NEIGHBOURS)
    smooth = ndimage.gaussian_filter(person.image.pixels, 1)
    places = ndimage.maximum_position(smooth, labels, range(1, count + 1))
    jittered = [np.array(place) + rng.normal(0, CLICK_SD_MM, 2) / person.image.spacing for place in places]
    return [(float(row), float(column)) for row, column in jittered]


def load(folder: Path, cache: Path, workers: int = 1) -> Cohort:
    """Read a cohort and place everybody; the frames are kept in the cache.

    Raises
    ------
    InputError
        when people have no mask, or nobody has a lesion, or only one type is there.
    """
    people = read_mip_cohort(folder)
    missing = [person.name for person in people if person.mask is None]
    if missing:
        raise InputError(f"{folder}: {', '.join(missing[:5])} have no mask to be judged by; add them to masks/")
    types = {person.cancer_type for person in people if person.cancer_type is not None}
    if len(types) < 2:
        raise InputError(f"{folder}: cancer types {sorted(types)}; give people of two types or more, and {NO_TUMOUR}")
    frames = _frames(people, cache / f"frames-{folder.resolve().name}-{len(people)}.json", workers)
    return Cohort(people, frames)


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
