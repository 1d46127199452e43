"""The interface of a segmentation system: fitted to training patients, it predicts a mask for each test patient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wslpet.core.arrays import BoolArray
from wslpet.core.volume import Volume
from wslpet.method.network.checkpoint import Model
from wslpet.study.design.patients import Patient
from wslpet.study.design.plan import Plan

# Called with the share done and a line for the log.
Report = Callable[[float, str], None]


@dataclass(frozen=True, eq=False)
class Prediction:
    """The prediction of a system for one patient.

    Parameters
    ----------
    mask : (i, j, k) bool, on the scan as stored.
    cancer_type : the predicted type; None if the system predicts none, or the type is given.
    good : probability of the good outcome, if the system predicts it without features.
    """

    mask: BoolArray
    cancer_type: str | None = None
    good: float | None = None


@dataclass(frozen=True, eq=False)
class FittedSystem:
    """A system after training.

    Parameters
    ----------
    find : (patient, scan) → prediction.
    model : the CAM network, if there is one; it is saved, and the report's pictures show its CAMs.
    """

    find: Callable[[Patient, Volume], Prediction]
    model: Model | None = None


@dataclass(frozen=True)
class System:
    """A segmentation system: one row of the tables.

    Parameters
    ----------
    name : short, as on the command line and in file names.
    title : as in the tables.
    reference : where it is described, and how it is implemented here.
    supervision : annotation of each training patient.
    test_input : input at test time, beside the scan.
    learn : (training patients, plan, report) → `FittedSystem`.
    paper : its row in the paper's tables; empty if it has none.
    segments : whether it predicts its own masks, so that Dice is meaningful.
    needs_type : whether its masks come from the map of the type that it predicts, so that they are meaningless where
        it did not learn to tell the types.
    features : radiomics features that outcome is predicted from; None is all, () none.
    cost : approximate seconds for a fold, relative to the others, to estimate the time left.
    """

    name: str
    title: str
    reference: str
    supervision: str
    test_input: str
    learn: Callable[[Sequence[Patient], Plan, Report], FittedSystem]
    paper: str = ""
    segments: bool = True
    needs_type: bool = False
    features: tuple[str, ...] | None = ()
    cost: float = 1.0
