"""Augmented training batches: windows of people, with implanted lesions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wslpet.core.arrays import Array, BoolArray
from wslpet.core.errors import TrainingError
from wslpet.method.segmentation.implants import ImplantLibrary, implant
from wslpet.method.segmentation.network import PLACE, frame_places, input_channels

# Rows and columns of a window. The frame's outer columns hold elbows and air; windows move over them.
WINDOW = 128
COLUMNS = 96
# Rows that a window may need beyond its own, for rotation and scale.
SLACK = 24
# Share of the windows of patients that contain a lesion for sure.
ON_LESION = 0.75


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """People to learn from, in the frame of the body, on the segmenter's grid.

    Parameters
    ----------
    images : (person, view, row, column) SUV, float16 or float32; NaN outside the scan.
    lesions : (person, view, row, column) bool.
    known : (person, view, row, column) bool; elsewhere the truth is not known, and nothing is learned.
    types : cancer type of each person; None of a person without a lesion.
    """

    images: Array
    lesions: BoolArray
    known: BoolArray
    types: tuple[str | None, ...]

    def __post_init__(self) -> None:
        if not self.images.shape == self.lesions.shape == self.known.shape or len(self.types) != len(self.images):
            raise TrainingError(
                f"images {self.images.shape}, lesions {self.lesions.shape}, known {self.known.shape} and "
                f"{len(self.types)} types do not fit together; give all of them for the same people"
            )

    def subset(self, people: Array) -> TrainingSet:
        """Some of the people, by their numbers."""
        types = tuple(self.types[k] for k in people)
        return TrainingSet(self.images[people], self.lesions[people], self.known[people], types)


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random changes.

    Parameters
    ----------
    scale, aspect : largest logarithm of the scale, and of the ratio of columns to rows.
    rotation : largest rotation, degrees.
    gain : largest logarithm of a factor on the SUV.
    gamma : largest logarithm of an exponent on the SUV, which keeps SUV 2.
    noise : largest relative noise.
    """

    scale: float = 0.16
    aspect: float = 0.06
    rotation: float = 6.0
    gain: float = 0.25
    gamma: float = 0.15
    noise: float = 0.06


@dataclass(frozen=True, eq=False)
class Batch:
    """One step: inputs (n, channel, row, column), lesions and weight (n, row, column), types (n,), -1 for none."""

    inputs: Tensor
    lesions: Tensor
    weight: Tensor
    types: Tensor


class Sampler:
    """Draws batches.

    Parameters
    ----------
    people : to learn from.
    types : cancer types, in the order of the network's head.
    implants : clicked lesions; None implants nothing.
    """

    def __init__(
        self,
        people: TrainingSet,
        types: tuple[str, ...],
        config: Augmentation,
        implants: ImplantLibrary | None,
        rng: np.random.Generator,
    ) -> None:
        self._people, self._config, self._rng, self._implants = people, config, rng, implants
        self._rows = people.images.shape[2]
        self._places = frame_places(self._rows)
        self._type_numbers = [-1 if name is None else types.index(name) for name in people.types]
        self._ill = np.flatnonzero([name is not None for name in people.types])
        self._well = np.flatnonzero([name is None for name in people.types])
        self._reached = [
            np.isfinite(image).any(axis=1) for image in people.images.reshape(-1, *people.images.shape[2:])
        ]
        self._targets = {k: [np.argwhere(view) for view in people.lesions[k]] for k in self._ill}

    def draw(self, ill: int, implanted: int, well: int) -> Batch:
        """One batch of windows: of patients, of people with implants, and of people without a lesion."""
        if not len(self._well):
            ill, implanted, well = ill + well, implanted, 0
        if self._implants is None:
            ill, implanted = ill + implanted - implanted // 2, 0
        plan = [(self._pick(self._ill), False) for _ in range(ill)]
        plan += [(self._pick(self._well if len(self._well) else self._ill), True) for _ in range(implanted)]
        plan += [(self._pick(self._well), False) for _ in range(well)]
        windows = [self._window(person, with_implants) for person, with_implants in plan]
        types = [self._type_numbers[person] for person, _ in plan]
        return self._augmented(windows, torch.tensor(types))

    def _pick(self, people: Array) -> int:
        return int(people[self._rng.integers(len(people))])

    def _window(self, person: int, with_implants: bool) -> tuple[Array, int, int]:
        """(3, WINDOW + 2 · SLACK, column of the frame) image, lesions, known; its view and first row."""
        rng, people = self._rng, self._people
        view = int(rng.integers(people.images.shape[1]))
        targets = self._targets[person][view] if person in self._targets else ()
        if len(targets) and rng.random() < ON_LESION:
            middle = int(targets[rng.integers(len(targets))][0]) + int(rng.integers(-WINDOW // 3, WINDOW // 3 + 1))
        else:
            rows = np.flatnonzero(self._reached[person * people.images.shape[1] + view])
            low, high = int(rows[0]) + WINDOW // 2 - SLACK, int(rows[-1]) - WINDOW // 2 + SLACK
            middle = int(rng.integers(low, high + 1)) if low < high else int(rows[0] + rows[-1]) // 2
        first = middle - WINDOW // 2 - SLACK
        start, stop = max(0, first), min(self._rows, first + WINDOW + 2 * SLACK)
        image = people.images[person, view, start:stop].astype(np.float32)
        lesions = people.lesions[person, view, start:stop]
        known = people.known[person, view, start:stop] & np.isfinite(image)
        image = np.nan_to_num(image)
        if with_implants and self._implants is not None:
            image, new = implant(image, self._implants, view, start, rng)
            lesions, known = lesions | new, known | new
        window = np.zeros((3, WINDOW + 2 * SLACK, image.shape[1]), dtype=np.float32)
        window[:, start - first : stop - first] = image, lesions, known
        return window, view, first

    def _augmented(self, windows: list[tuple[Array, int, int]], types: Tensor) -> Batch:
        n = len(windows)
        view = torch.tensor([one[1] for one in windows])
        first = np.array([one[2] for one in windows])
        pixels = torch.from_numpy(np.stack([one[0] for one in windows]))
        grid, flipped = self._grid(n, pixels.shape[2:])
        image, lesions, known = F.grid_sample(pixels, grid, align_corners=False).unbind(dim=1)
        places = self._at(first, grid, pixels.shape[2:])
        image = self._intensity(image)
        inputs = input_channels(image, places, view)
        inputs[:, PLACE] = torch.where(flipped[:, None, None], -inputs[:, PLACE], inputs[:, PLACE])
        weight = (known > 0.99).float()
        return Batch(inputs, (lesions > 0.5).float(), weight, types)

    def _grid(self, n: int, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Sampling grid (n, WINDOW, COLUMNS, 2) over windows of a shape, and which of them are mirrored."""
        rng, config = self._rng, self._config
        scale = np.exp(rng.uniform(-config.scale, config.scale, n))
        aspect = np.exp(rng.uniform(-config.aspect, config.aspect, n))
        angle = np.deg2rad(rng.uniform(-config.rotation, config.rotation, n))
        flipped = rng.random(n) < 0.5
        sign = np.where(flipped, -1.0, 1.0)
        rows, columns = shape
        matrix = np.zeros((n, 2, 3), dtype=np.float32)  # output (x, y, 1) in -1…1 → input (x, y)
        ratio = WINDOW / rows
        matrix[:, 0, 0] = sign * np.cos(angle) * scale * aspect * COLUMNS / columns
        matrix[:, 0, 1] = -np.sin(angle) * scale * WINDOW / columns
        matrix[:, 1, 0] = sign * np.sin(angle) * scale * COLUMNS / rows
        matrix[:, 1, 1] = np.cos(angle) * scale * ratio
        room = 1 - COLUMNS / columns
        matrix[:, 0, 2] = np.clip(rng.normal(0, room / 2, n), -room, room)
        grid = F.affine_grid(torch.from_numpy(matrix), [n, 1, WINDOW, COLUMNS], align_corners=False)
        return grid, torch.from_numpy(flipped)

    def _at(self, first: Array, grid: Tensor, shape: tuple[int, ...]) -> Tensor:
        """(n, 2, row, column): places in the frame at the pixels of the grid; first : row of each window."""
        rows, _ = shape
        own = grid.clone()
        own[..., 1] = ((own[..., 1] + 1) * rows / 2 + torch.tensor(first)[:, None, None]) * 2 / self._rows - 1
        maps = self._places.expand(len(own), *self._places.shape)
        return F.grid_sample(maps, own, padding_mode="border", align_corners=False)

    def _intensity(self, image: Tensor) -> Tensor:
        rng, config, n = self._rng, self._config, len(image)

        def factor(limit: float) -> Tensor:
            return torch.from_numpy(np.exp(rng.uniform(-limit, limit, n)).astype(np.float32))[:, None, None]

        image = 2 * (image * factor(config.gain) / 2).clamp(min=0) ** factor(config.gamma)
        amount = torch.from_numpy(rng.uniform(0, config.noise, n).astype(np.float32))[:, None, None]
        return image * (1 + amount * torch.from_numpy(rng.standard_normal(image.shape, dtype=np.float32)))
