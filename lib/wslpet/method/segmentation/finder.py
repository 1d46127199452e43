"""A finder of lesions: networks and calibration; its file, and what it says of people."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.special import expit

from wslpet.core.arrays import Array, FloatArray
from wslpet.core.atomic_io import replacing
from wslpet.method.network.weights_file import read_content
from wslpet.method.segmentation.evidence import Presence, features, log_odds
from wslpet.method.segmentation.model import Segmenter, SegmenterOutput, segmenter_content, segmenter_from
from wslpet.method.segmentation.network import enlarged, reduced

FORMAT = "wslpet-finder-3"
# Probability from which a pixel is a lesion.
THRESHOLD = 0.5
# Added to the mean log-odds: the shipped segmenter's are low, as it saw phantoms only. Chosen on two of five folds.
BLEND_SHIFT = 3.2


@dataclass(frozen=True, eq=False)
class FinderOutput(SegmenterOutput):
    """As `SegmenterOutput`; and presence, (person,) probability of a lesion, NaN where that was not learned."""

    presence: FloatArray


@dataclass(frozen=True, eq=False)
class LesionFinder:
    """Networks whose blend is the answer, and the calibration of "no lesion".

    Parameters
    ----------
    members : learned on site.
    shipped : the shipped segmenter; None leaves it out.
    presence : None where it was not learned.
    """

    members: tuple[Segmenter, ...]
    shipped: Segmenter | None
    presence: Presence | None

    @property
    def types(self) -> tuple[str, ...]:
        """Cancer types, in the order of the output's."""
        return self.members[0].settings.types

    def predict(self, images: Array) -> FinderOutput:
        """Lesions of new people, images (person, view, row, column) SUV on the frame's grid, NaN outside the scan."""
        small = reduced(images)
        outputs = [member.predict(small) for member in self.members]
        mean = blended(np.mean([output.probability for output in outputs], axis=0), self.shipped, small)
        probability = np.array([[enlarged(view, images.shape[2:]) for view in person] for person in mean])
        probability[~np.isfinite(images)] = 0
        types = np.mean([output.types for output in outputs], axis=0)
        rows = person_features(mean)
        presence = np.full(len(images), np.nan) if self.presence is None else self.presence.probability(rows)
        return FinderOutput(probability, types, presence)


def person_features(probability: FloatArray) -> FloatArray:
    """(person, feature), what the probability that there is a lesion is computed from; of blended probabilities."""
    return np.array([features(person) for person in probability])


def blended(learned: FloatArray, shipped: Segmenter | None, images: Array) -> FloatArray:
    """Geometric mean of the odds by the learned networks and by the shipped one, in the coronal view.

    Each errs elsewhere: what a site's patients with one clicked lesion do not teach, such as that a hot heart is none,
    phantoms with all their lesions do.

    Parameters
    ----------
    learned : (person, view, row, column) probability.
    images : (person, view, row, column) SUV on the segmenter's grid.
    """
    if shipped is None:
        return learned
    result = learned.copy()
    other = shipped.predict(images[:, :1]).probability
    odds = (log_odds(learned[:, :1]) + log_odds(other)) / 2 + BLEND_SHIFT
    result[:, :1] = np.where(np.isfinite(images[:, :1]), expit(odds), 0)
    return result


def save_finder(finder: LesionFinder, path: str | os.PathLike[str]) -> None:
    """Write a finder, atomically."""
    presence = None
    if finder.presence is not None:
        presence = {name: np.asarray(getattr(finder.presence, name)).tolist() for name in _PRESENCE}
    content = {
        "format": FORMAT,
        "members": [segmenter_content(member) for member in finder.members],
        "shipped": None if finder.shipped is None else segmenter_content(finder.shipped),
        "presence": presence,
    }
    with replacing(Path(path)) as temporary:
        torch.save(content, temporary)


def load_finder(path: str | os.PathLike[str]) -> LesionFinder:
    """Read a finder; only tensors and plain values are unpickled.

    Raises
    ------
    ModelError
        when the file is missing, or not a finder of this package.
    """
    name = Path(path).name
    content = read_content(path, f"finder {name}", FORMAT)
    members = tuple(segmenter_from(member, name) for member in content["members"])
    shipped = None if content["shipped"] is None else segmenter_from(content["shipped"], name)
    stored = content["presence"]
    if stored is None:
        return LesionFinder(members, shipped, None)
    mean, scale, weights = (np.array(stored[key]) for key in _PRESENCE[:3])
    return LesionFinder(members, shipped, Presence(mean, scale, weights, float(stored["intercept"])))


_PRESENCE = ("mean", "scale", "weights", "intercept")
