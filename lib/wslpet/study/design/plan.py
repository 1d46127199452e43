"""Training budgets of a study: `small` for a quick look, `full` for publication, `try` as a smoke test."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from wslpet.core.errors import InputError


@dataclass(frozen=True)
class Plan:
    """The training budget of a study; the same for every fold.

    Parameters
    ----------
    types : cancer types, one table each.
    folds : of the cross-validation, stratified by type and outcome, patients kept together.
    seed : of folds, training and bootstrap.
    epochs : ours; None is the default of `wslpet.core.settings`, as on a site.
    tuning_epochs : ours on top of the shipped weights.
    cam_epochs : CAMs alone, which learn more slowly without the distance loss.
    fcn_epochs : of the FCN on top of the CAMs.
    unet_steps : mini-batches of four patches.
    rpet_epochs : 3D-RPET-Net.
    curve : numbers of training patients of the learning curve, ours against the U-Net.
    curve_folds : folds of the learning curve.
    shuffles : permutations of the outcomes in the test for leakage.
    stability : patients of the test-retest of features.
    """

    types: tuple[str, ...] = ("lung", "oesophagus")
    folds: int = 5
    seed: int = 0
    epochs: int | None = 16
    tuning_epochs: int = 6
    cam_epochs: int = 16
    fcn_epochs: int = 6
    unet_steps: int = 400
    rpet_epochs: int = 40
    curve: tuple[int, ...] = (10, 20)
    curve_folds: int = 1
    shuffles: int = 10
    stability: int = 6

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


PLANS = {
    "small": Plan(),
    "full": Plan(
        epochs=None,
        tuning_epochs=10,
        cam_epochs=60,
        fcn_epochs=12,
        unet_steps=1500,
        rpet_epochs=80,
        curve=(10, 20, 40, 80),
        shuffles=50,
        stability=20,
    ),
    # One step of every loop: tests that a cohort can be read and a report written, and nothing else.
    "try": Plan(
        folds=2,
        epochs=1,
        tuning_epochs=1,
        cam_epochs=1,
        fcn_epochs=1,
        unet_steps=1,
        rpet_epochs=1,
        curve=(4,),
        shuffles=2,
        stability=2,
    ),
}


def plan_from(name: str, types: tuple[str, ...], seed: int = 0, folds: int | None = None) -> Plan:
    """A plan of `PLANS` for a cohort's types.

    Raises
    ------
    InputError
        when there is no such plan.
    """
    if name not in PLANS:
        raise InputError(f"plan {name!r} is not one of {', '.join(PLANS)}")
    plan = PLANS[name]
    return replace(plan, types=types, seed=seed, folds=plan.folds if folds is None else folds)
