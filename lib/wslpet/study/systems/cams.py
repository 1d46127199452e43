"""CAMs alone: trained on cancer types only, without the distance loss (Zhou et al. 2016, CVPR)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from wslpet.core.settings import Settings, settings_from
from wslpet.core.volume import Volume
from wslpet.method.inference.forward import run_network
from wslpet.method.inference.pipeline import find_primary
from wslpet.method.network.checkpoint import Model, best_device, load_model, save_model
from wslpet.method.projection.mip import project
from wslpet.study.design.patients import Patient
from wslpet.study.design.plan import Plan
from wslpet.study.systems.ours import learned, trained
from wslpet.study.systems.system import FittedSystem, Prediction, Report, System


def learn(patients: Sequence[Patient], plan: Plan, report: Report) -> FittedSystem:
    """Train on types alone; from the CAMs to the lesion it is the same as ours."""
    return learned(cam_model(patients, plan, report))


def learn_with_known_type(patients: Sequence[Patient], plan: Plan, report: Report) -> FittedSystem:
    """The same network; at test time it is given the cancer type, and shows the map of that type."""
    return FittedSystem(partial(_find_with_known_type, cam_model(patients, plan, report)))


def _find_with_known_type(model: Model, patient: Patient, volume: Volume) -> Prediction:
    output = run_network(project(volume.to_ras()), model)
    probabilities = {name: float(name == patient.cancer_type) for name in output.probabilities}
    return Prediction(find_primary(volume, model, replace(output, probabilities=probabilities)).mask.array > 0)


def cam_settings(plan: Plan) -> Settings:
    """The settings with which CAMs without the distance loss do best: see `CAMS.reference`."""
    return settings_from(
        types=plan.types,
        distance="off",
        pooling="average",
        epochs=plan.cam_epochs,
        patience=plan.cam_epochs,
        random_seed=plan.seed,
    )


def cam_model(patients: Sequence[Patient], plan: Plan, report: Report) -> Model:
    """A CAM network trained on types alone; cached beside the patients, since CAMs & FCNs starts from it, too."""
    settings = cam_settings(plan)
    who = "|".join([*sorted(patient.kept.name for patient in patients), str(settings.to_dict())])
    path = patients[0].kept.parent / "cams" / f"{hashlib.sha256(who.encode()).hexdigest()[:20]}.pt"
    if not path.exists():
        save_model(trained(patients, settings, report), path)
    return load_model(path, best_device())


CAMS = System(
    name="cams",
    title="CAMs alone",
    reference="Zhou et al. 2016; Amyar et al., §4. The network of ours without the distance loss, with the global "
    "average pooling that CAMs are defined with.",
    supervision="type",
    test_input="nothing",
    learn=learn,
    paper="CAMs alone",
    needs_type=True,
    features=None,
    cost=130,
)
CAMS_TOLD = replace(
    CAMS,
    name="cams-told",
    title="CAMs alone, type given",
    reference="The same networks; the map shown is that of the true type, whether the network predicts it or not.",
    test_input="the cancer type",
    learn=learn_with_known_type,
    paper="",
    needs_type=False,
    features=(),
    cost=10,
)
