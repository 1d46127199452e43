"""Systems that are given a click at test time: our delineation, and threshold baselines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from wslpet.analysis.overlap import click_threshold
from wslpet.core.settings import settings_from
from wslpet.core.volume import Volume
from wslpet.method.inference.pipeline import delineate
from wslpet.study.design.patients import Patient
from wslpet.study.design.plan import Plan
from wslpet.study.systems.system import FittedSystem, Prediction, Report, System


def click_level(
    share: float = 0.41, suv: float | None = None
) -> Callable[[Sequence[Patient], Plan, Report], FittedSystem]:
    """Threshold baseline, untrained: the connected region at the click above a share of its maximum, or an SUV."""

    def find(patient: Patient, volume: Volume) -> Prediction:
        return Prediction(click_threshold(volume, np.array(patient.row.seed.position), share, suv))

    return lambda patients, plan, report: FittedSystem(find)


def learn_nothing(patients: Sequence[Patient], plan: Plan, report: Report) -> FittedSystem:
    """Our delineation at the click, without training."""
    settings = settings_from(types=plan.types)

    def find(patient: Patient, volume: Volume) -> Prediction:
        return Prediction(delineate(volume, patient.row.seed, settings=settings, checked=False).mask.array > 0)

    return FittedSystem(find)


CLICK = System(
    name="click",
    title="ours, a click on the patient",
    reference="Our delineation alone, at the patient's own seed; no network. Its contour score was fitted on phantoms "
    "with known masks.",
    supervision="nothing",
    test_input="a click",
    learn=learn_nothing,
    features=None,
    cost=4,
)
SHARE = System(
    name="click-41",
    title="click + 41 %",
    reference="The clinic's contour: at least 41 % of the SUVmax near the click (Boellaard et al. 2015, EANM guideline "
    "2.0), connected to it, within 80 mm.",
    supervision="nothing",
    test_input="a click",
    learn=click_level(),
    cost=2,
)
SUV_4 = replace(
    SHARE,
    name="click-4.0",
    title="click + SUV ≥ 4.0",
    reference="The same, at least SUV 4.0 (Barrington & Meignan 2019, J Nucl Med 60:1096).",
    learn=click_level(suv=4.0),
)
SUV_25 = replace(
    SHARE,
    name="click-2.5",
    title="click + SUV ≥ 2.5",
    reference="The same, at least SUV 2.5 (Paulino & Johnstone 2004, Int J Radiat Oncol Biol Phys 59:4).",
    learn=click_level(suv=2.5),
)
MTV = replace(
    SHARE,
    name="mtv",
    title="MTV alone (click + 41 %)",
    reference="One number: metabolic tumour volume of click + 41 %.",
    supervision="outcome",
    segments=False,
    features=("volume_ml",),
)
SUV_MAX = replace(
    MTV,
    name="suv-max",
    title="SUVmax alone (click + 41 %)",
    reference="One number: SUVmax of click + 41 %.",
    features=("suv_max",),
)
