"""The segmenter learns on site, from the contours of clicks (ours).

It starts from the segmenter in use. Patients who choose the epoch of the CAM network tell whether what it learned is
better than that, and those who judge the new weights teach nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from scipy import ndimage

from wslpet.method.network.checkpoint import Model
from wslpet.method.network.coarse_segmenter import CoarseNet, find_on_grid, load_network
from wslpet.method.segmentation.volumes.lesion_mips import LesionExample, LesionMip
from wslpet.method.segmentation.volumes.training import KEPT, train_coarse
from wslpet.method.training.parts import split

# Half of the rate of the training on phantoms.
LEARNING_RATE = 1e-3
# The strongest place is at a lesion if it is at most so many pixels of 4 mm beside it.
BESIDE = 2


def with_segmenter(
    model: Model,
    examples: Sequence[LesionExample],
    judging: float,
    initial: CoarseNet | None = None,
    device: str = "cpu",
    report: Callable[[int, int], None] | None = None,
    kept: float = KEPT,
) -> Model:
    """Return the model with a segmenter that learned from the examples, or with the initial one if that is better.

    Its steps are `Settings.segmenter_steps` for each epoch of the settings. What was learned, and how often the
    strongest known place of a MIP is at a lesion before and after, is `history["segmenter"]`.

    Parameters
    ----------
    examples : of the patients that the model learned from.
    judging : share of the patients who judge, see `parts.split`.
    initial : the segmenter in use; None is the shipped one.
    report : called with the step and the number of steps.
    kept : weight of the initial segmenter's answer where nobody clicked, see `train_coarse`.
    """
    settings = model.settings
    parts = split(examples, settings.validation, judging)
    learning = [one for one in parts.learning if one.mips]
    steps = settings.segmenter_steps * settings.epochs
    if not steps or not any(mip.lesions.any() for one in learning for mip in one.mips):
        return replace(model, segmenter=initial)
    start = initial or load_network()

    def draw(rng: np.random.Generator) -> LesionMip:
        mips = learning[int(rng.integers(len(learning)))].mips
        return mips[int(rng.integers(len(mips)))]

    def done(step: int, loss: float) -> None:
        if report is not None:
            report(step, steps)

    learned = train_coarse(draw, steps, start, LEARNING_RATE, settings.random_seed, device, done, kept)
    shown = [mip for one in parts.stopping for mip in one.mips if mip.visible.any()]
    before, after = (share_at_lesion(network, shown) for network in (start, learned))
    kept = not shown or after >= before
    history = {
        "patients": len(learning),
        "steps": steps,
        "views": len(shown),
        "strongest_place": [round(before, 3), round(after, 3)] if shown else None,
        "kept": kept,
    }
    return replace(model, segmenter=learned if kept else initial, history={**model.history, "segmenter": history})


def share_at_lesion(network: CoarseNet, mips: Sequence[LesionMip]) -> float:
    """Share of MIPs, each of which shows a lesion, whose most probable known pixel is at most `BESIDE` pixels from one.

    A place that nobody clicked may be a lesion, too, so that finding it is no fault.
    """
    hits = []
    for mip in mips:
        near = ndimage.binary_dilation(mip.lesions, iterations=BESIDE)
        probability = np.where(mip.unknown & ~near, -1, find_on_grid(network, mip.image))
        hits.append(bool(near.flat[probability.argmax()]))
    return float(np.mean(hits)) if hits else 0.0
