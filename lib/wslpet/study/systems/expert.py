"""The expert's own mask: what outcome could be predicted from if delineation were perfect."""

from __future__ import annotations

from collections.abc import Sequence

from wslpet.study.design.patients import Patient
from wslpet.study.design.plan import Plan
from wslpet.study.systems.system import FittedSystem, Prediction, Report, System


def learn(patients: Sequence[Patient], plan: Plan, report: Report) -> FittedSystem:
    """Nothing is learned."""
    return FittedSystem(lambda patient, volume: Prediction(patient.truth(volume)))


EXPERT = System(
    name="expert",
    title="radiomics of the expert's mask",
    reference="The truth itself; not a system, but how far outcome can be told from features at all.",
    train_patients="full masks, outcome",
    told="a full mask",
    learn=learn,
    segments=False,
    features=None,
    cost=10,
)
