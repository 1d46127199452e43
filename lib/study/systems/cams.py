"""CAMs alone: the cancer type is all that is learned from; no distance loss (Zhou et al. 2016, CVPR)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from lib.model import Model
from lib.settings import Settings, settings_from
from lib.study.patients import Patient
from lib.study.plan import Plan
from lib.study.system import Learned, Report, System
from lib.study.systems.ours import learned, trained


def learn(patients: Sequence[Patient], plan: Plan, report: Report) -> Learned:
    """As ours, from types alone; from the maps to the lesion it has everything that ours has."""
    return learned(cam_model(patients, plan, report))


def cam_settings(plan: Plan) -> Settings:
    """The setting in which CAMs without the distance loss do best: see `CAMS.reference`."""
    return settings_from(
        types=plan.types,
        distance="off",
        pooling="average",
        epochs=plan.cam_epochs,
        patience=plan.cam_epochs,
        seed=plan.seed,
    )


def cam_model(patients: Sequence[Patient], plan: Plan, report: Report) -> Model:
    """A CAM network that was trained on types alone."""
    return trained(patients, cam_settings(plan), report)


CAMS = System(
    name="cams",
    title="CAMs alone",
    reference="Zhou et al. 2016; Amyar et al., §4. The network of ours without the distance loss, with the global "
    "average pooling that CAMs are defined with.",
    taught="type",
    told="nothing",
    learn=learn,
    paper="CAMs alone",
    features=None,
    cost=90,
)
