"""A picture of the worst of each kind of failure: three planes through the lesion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
import numpy as np

from wslpet.data.real_lesions import RealLesion

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SIDE_MM = 40.0

# Kind → (Dice, volume as a share of the truth's) → whether it is one.
KINDS: dict[str, Callable[[float, float], bool]] = {
    "elsewhere": lambda dice, ratio: dice < 0.1,
    "too large": lambda dice, ratio: 0.1 <= dice < 0.7 and ratio > 1.4,
    "too small": lambda dice, ratio: 0.1 <= dice < 0.7 and ratio < 0.7,
    "other place or shape": lambda dice, ratio: 0.1 <= dice < 0.7 and 0.7 <= ratio <= 1.4,
}


def drawn(rows: Sequence[tuple[str, RealLesion, np.ndarray, np.ndarray]], path: Path) -> None:
    """Write the figure.

    Parameters
    ----------
    rows : of each, a title, the lesion, the click (voxel), the mask (i, j, k).
    """
    figure, axes = plt.subplots(len(rows), 3, figsize=(10.5, 3.6 * len(rows)), squeeze=False)
    for line, (title, lesion, click, mask) in zip(axes, rows, strict=True):
        for axis, panel in enumerate(line):
            _plane(panel, lesion, click, mask, axis)
        line[0].set_title(title, loc="left", fontsize=9)
    figure.text(
        0.01, 0.005, "Grey: SUV, to the lesion's 98th percentile. Red: reader. Blue: ours. Cross: click.", fontsize=8
    )
    figure.tight_layout(rect=(0, 0.02, 1, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)
    plt.close(figure)


def _plane(panel: plt.Axes, lesion: RealLesion, click: np.ndarray, mask: np.ndarray, axis: int) -> None:
    across = [a for a in range(3) if a != axis]
    spacing = [lesion.volume.spacing[a] for a in across]
    cut = int(click[axis])
    image, truth, own = (array.take(cut, axis=axis).T for array in (lesion.volume.array, lesion.truth, mask))
    ticks = [np.arange(n) * s for n, s in zip(image.shape[::-1], spacing, strict=True)]
    top = float(np.percentile(lesion.volume.array[lesion.truth], 98))
    panel.pcolormesh(*ticks, image, cmap="gray_r", vmin=0, vmax=top, shading="nearest")
    for region, colour in ((truth, "tab:red"), (own, "tab:blue")):
        if region.any():
            panel.contour(*ticks, region.astype(float), [0.5], colors=colour, linewidths=1.2)
    centre = [click[a] * s for a, s in zip(across, spacing, strict=True)]
    panel.plot(*centre, "+", color="tab:green")
    radius = (3 * lesion.truth.sum() * lesion.volume.voxel_ml * 1000 / (4 * np.pi)) ** (1 / 3)
    for low_high, middle in ((panel.set_xlim, centre[0]), (panel.set_ylim, centre[1])):
        low_high(middle - radius - SIDE_MM, middle + radius + SIDE_MM)
    panel.set_aspect("equal")
    panel.set_xticks([])
    panel.set_yticks([])
