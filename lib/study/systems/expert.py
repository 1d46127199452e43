"""The expert's own mask: what outcome could be predicted from if delineation were perfect."""

from __future__ import annotations

from collections.abc import Sequence

from lib.study.patients import Patient
from lib.study.plan import Plan
from lib.study.system import Found, Learned, Report, System


def learn(patients: Sequence[Patient], plan: Plan, report: Report) -> Learned:
    """Nothing is learned."""
    return Learned(lambda patient, volume: Found(patient.truth(volume)))


EXPERT = System(
    name="expert",
    title="radiomics of the expert's mask",
    reference="The truth itself; not a system, but how far outcome can be told from features at all.",
    taught="full masks, outcome",
    told="a full mask",
    learn=learn,
    segments=False,
    features=None,
    cost=10,
)
