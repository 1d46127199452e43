"""Volume, position and extent of a phantom's organs, for comparison with published tables of real patients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wslpet.core.arrays import Array
from wslpet.data.phantom.body.canvas import Box
from wslpet.data.phantom.scan.plan import painted_organs, plan_scan
from wslpet.data.phantom.settings import CohortSettings

# Organ → names of its strokes on the canvas. Strokes over an organ take voxels from it, except those of `INSIDE`.
PARTS = {
    "liver": ("liver", "left liver"),
    "spleen": ("spleen",),
    "stomach": ("stomach",),
    "kidneys": ("right kidney", "left kidney"),
    "bladder": ("bladder",),
    "prostate": ("prostate",),
    "heart": ("heart", "heart blood", "right atrium"),
    "brain": ("cerebrum", "cerebellum", "temporal 1", "temporal -1"),
    "head_glands": ("parotid 1", "parotid -1", "submandibular 1", "submandibular -1"),
}
INSIDE = ("calyx", "sinus", "pelvis", "collecting", "basal", "ventricle", "stem", "ureter", "atrial")
ORGANS = (*PARTS, "lungs")
FEWEST_VOXELS = 20


@dataclass(frozen=True)
class OrganMeasures:
    """Measures of one organ.

    Parameters
    ----------
    volume_ml : volume.
    place_mm : (right, anterior, superior) centre, relative to the centre of the lungs.
    extent_mm : (width, depth, height), from the 1st to the 99th percentile of the voxels.
    """

    volume_ml: float
    place_mm: tuple[float, float, float]
    extent_mm: tuple[float, float, float]


def measure_organs(
    seed: int, settings: CohortSettings, voxel_mm: tuple[float, float, float] = (5.0, 5.0, 5.0)
) -> dict[str, OrganMeasures]:
    """Measure the organs of one patient of a cohort, as far as they are in the field of view, without a scanner."""
    plan = plan_scan(seed, settings, voxel_mm)
    numbers = {part: ORGANS.index(organ) + 1 for organ, parts in PARTS.items() for part in parts}
    labels = np.zeros(plan.canvas.activity.shape, dtype=np.uint8)

    def note(box: Box, inside: Array, name: str) -> None:
        part = labels[box.window]
        covered = np.broadcast_to(inside, part.shape) >= 0.5
        if name in numbers:
            part[covered] = numbers[name]
        elif name and not any(word in name for word in INSIDE):
            part[covered] = 0

    plan.canvas.on_paint = note
    painted_organs(plan, settings)
    x, y, z = (
        (axis / scale).astype(np.float32).reshape(shape)
        for axis, scale, shape in zip(
            plan.canvas.axes, plan.body.scale, ((-1, 1, 1), (1, -1, 1), (1, 1, -1)), strict=True
        )
    )
    labels[plan.body.lung_distance(x, y, z) < 0] = ORGANS.index("lungs") + 1
    return _measured(labels, plan.canvas.axes, float(np.prod(voxel_mm)) / 1000)


def _measured(labels: Array, axes: list[Array], voxel_ml: float) -> dict[str, OrganMeasures]:
    found, places = {}, {}
    for number, organ in enumerate(ORGANS, start=1):
        index = np.argwhere(labels == number)
        if len(index) >= FEWEST_VOXELS:
            places[organ] = np.stack([axes[d][index[:, d]] for d in range(3)], axis=1)
    if "lungs" not in places:
        return {}
    centre = places["lungs"].mean(axis=0)
    for organ, points in places.items():
        low, high = np.percentile(points, (1, 99), axis=0)
        place, extent = points.mean(axis=0) - centre, high - low
        found[organ] = OrganMeasures(len(points) * voxel_ml, tuple(place.tolist()), tuple(extent.tolist()))
    return found
