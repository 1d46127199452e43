"""The one interface of all systems: patients to learn from in, a finder of tumours out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wslpet.core.arrays import BoolArray
from wslpet.core.volume import Volume
from wslpet.method.network.checkpoint import Model
from wslpet.study.design.patients import Patient
from wslpet.study.design.plan import Plan

# Share done, and a line for the log.
Report = Callable[[float, str], None]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a system says of one patient.

    Parameters
    ----------
    mask : (i, j, k) bool, on the scan as stored.
    cancer_type : its own guess; None where it makes none, or is told.
    good : probability of the good outcome, where the system predicts it without features.
    """

    mask: BoolArray
    cancer_type: str | None = None
    good: float | None = None


@dataclass(frozen=True, eq=False)
class FittedSystem:
    """What learning left.

    Parameters
    ----------
    find : a patient and its scan → what is found.
    model : with CAMs to look at, where there is one; it is kept, and the gallery shows it.
    """

    find: Callable[[Patient, Volume], Prediction]
    model: Model | None = None


@dataclass(frozen=True)
class System:
    """One row of the tables.

    Parameters
    ----------
    name : short, as on the command line and in file names.
    title : as in the tables.
    reference : where it is described, and how this version of it reads that.
    train_patients : what an annotator gave for each patient that it learned from.
    told : what it is given on the patient to be segmented, beside the scan.
    learn : (training patients, plan, report) → `FittedSystem`.
    paper : its row in the paper's tables; empty where it has none.
    segments : whether its masks are its own, so that Dice says something.
    features : of the mask it finds, outcome is predicted from these; None is all of them, () none.
    cost : seconds that a fold takes, roughly and relative to the others, for the time left.
    """

    name: str
    title: str
    reference: str
    train_patients: str
    told: str
    learn: Callable[[Sequence[Patient], Plan, Report], FittedSystem]
    paper: str = ""
    segments: bool = True
    features: tuple[str, ...] | None = ()
    cost: float = 1.0
