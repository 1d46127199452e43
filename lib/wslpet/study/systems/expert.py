"""The expert's own mask: an upper bound of outcome prediction, as if delineation were perfect."""

from __future__ import annotations

from collections.abc import Sequence

from wslpet.study.design.patients import Patient
from wslpet.study.design.plan import Plan
from wslpet.study.systems.system import FittedSystem, Prediction, Report, System


def learn(patients: Sequence[Patient], plan: Plan, report: Report) -> FittedSystem:
    """Return the expert's mask; nothing is trained."""
    return FittedSystem(lambda patient, volume: Prediction(patient.truth(volume)))


EXPERT = System(
    name="expert",
    title="radiomics of the expert's mask",
    reference="The truth itself; not a system, but how well outcome can be predicted from features at all.",
    supervision="full masks, outcome",
    test_input="a full mask",
    learn=learn,
    segments=False,
    features=None,
    cost=10,
)
