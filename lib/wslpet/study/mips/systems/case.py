"""What a system is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wslpet.study.mips.cohort import Cohort


@dataclass(frozen=True)
class Effort:
    """How long the systems learn; the same for every fold.

    Parameters
    ----------
    steps : of each of our two networks.
    control_steps : the same, from shuffled labels.
    epochs : of the CAM network with our settings: with the distance loss, and CAMs alone from the shipped weights.
    cam_epochs : of CAMs alone from scratch.
    paper_epochs : of the paper's network, which is shown patients only.
    fcn_epochs : of the FCN on pseudo-masks.
    unet_steps : of the U-Net, six windows each.
    seed : of every training.
    """

    steps: int = 1000
    control_steps: int = 1000
    epochs: int = 20
    cam_epochs: int = 30
    paper_epochs: int = 40
    fcn_epochs: int = 6
    unet_steps: int = 3000
    seed: int = 0


def print_line(line: str) -> None:
    """Show a line of a training."""
    print(f"  {line}", flush=True)


@dataclass(frozen=True)
class Case:
    """One system's task.

    Parameters
    ----------
    system : its name.
    cohort, learn_from : numbers of the people of a cohort that it learns from.
    test, numbers : numbers of the people of a cohort that it predicts.
    report : called with lines for the log.
    """

    system: str
    cohort: Cohort
    learn_from: Sequence[int]
    test: Cohort
    numbers: Sequence[int]
    effort: Effort
    report: Callable[[str], None] = print_line
