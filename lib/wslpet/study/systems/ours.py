"""Ours: CAMs with the distance loss, one seed for each patient; from scratch, and from the shipped weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from wslpet.core.settings import Settings, settings_from
from wslpet.core.volume import Volume
from wslpet.method.inference.pipeline import find_primary
from wslpet.method.network.checkpoint import Model, best_device, load_model
from wslpet.method.shipped import SHIPPED_MODEL
from wslpet.method.training.trainer import EpochReport, train
from wslpet.study.design.patients import Patient
from wslpet.study.design.plan import Plan
from wslpet.study.systems.system import FittedSystem, Prediction, Report, System


def learn(patients: Sequence[Patient], plan: Plan, report: Report) -> FittedSystem:
    """Train from scratch, on the seeds and types of the training patients."""
    settings = settings_from(types=plan.types, random_seed=plan.seed)
    if plan.epochs is not None:
        settings = replace(settings, epochs=plan.epochs)
    return learned(trained(patients, settings, report))


def learn_from_shipped(patients: Sequence[Patient], plan: Plan, report: Report) -> FittedSystem:
    """Fine-tune the shipped weights, as on a site; they stay in use if fine-tuning does not improve them.

    The shipped weights know lung and oesophagus only; for other types this is `learn`.
    """
    shipped = load_model(SHIPPED_MODEL, best_device())
    if shipped.settings.classes != plan.types:
        report(0.0, f"the shipped weights know {', '.join(shipped.settings.classes)} only: from scratch")
        return learn(patients, plan, report)
    settings = settings_from(
        **{**shipped.settings.to_dict(), "epochs": plan.tuning_epochs, "batch_size": 8, "random_seed": plan.seed}
    )
    return learned(trained(patients, settings, report, shipped))


def trained(patients: Sequence[Patient], settings: Settings, report: Report, initial: Model | None = None) -> Model:
    """Train the CAM network; the model of the epoch with the best validation loss."""
    examples = [patient.example() for patient in patients]
    result = train(examples, settings, initial, best_device(), report_epochs(report), judging=0.0)
    if initial is None or result.initial is None:
        return result.model
    # By the patients that chose the epoch: nobody is kept apart to judge.
    return result.model if result.model.history["best"]["val_loss"] < result.initial["val_loss"] else initial


def learned(model: Model) -> FittedSystem:
    """The fitted system of a model: it finds the tumour without further input."""
    return FittedSystem(partial(_find, model), model)


def _find(model: Model, patient: Patient, volume: Volume) -> Prediction:
    result = find_primary(volume, model)
    return Prediction(result.mask.array > 0, result.cancer_type)


def report_epochs(report: Report, start: float = 0.0, share: float = 1.0) -> Callable[[EpochReport], bool]:
    """A callback for `wslpet.method.training.trainer.train`: epochs as progress from `start` to `start + share`."""

    def one(epoch: EpochReport) -> bool:
        report(
            start + share * epoch.epoch / epoch.total_epochs,
            f"epoch {epoch.epoch}/{epoch.total_epochs}: loss {epoch.loss:.3f}, validation {epoch.val_loss:.3f}, "
            f"seed hit {epoch.localisation_rate:.0%}, type {epoch.type_accuracy:.0%}{' (best)' if epoch.best else ''}",
        )
        return False

    return one


OURS = System(
    name="ours",
    title="ours",
    reference="Amyar et al., §2: eight convolutions, CAMs, type loss and distance loss; docs/method.md says what "
    "is ours. From scratch in every fold; the contour score was fitted on phantoms with known masks.",
    supervision="type, one point",
    test_input="nothing",
    learn=learn,
    paper="Our",
    features=None,
    cost=90,
)
SHIPPED = System(
    name="shipped",
    title="ours, from the shipped weights",
    reference="The same, fine-tuned in every fold from model/pretrained_wslpet.pt, which was trained on other "
    "phantoms: what a site would use.",
    supervision="type, one point",
    test_input="nothing",
    learn=learn_from_shipped,
    features=None,
    cost=35,
)
