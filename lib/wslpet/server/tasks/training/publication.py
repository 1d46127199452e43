"""Decide whether trained weights replace those in use, and give the reasons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scipy.stats import binomtest

from wslpet.core.settings import Settings
from wslpet.method.network.checkpoint import Model
from wslpet.method.training.judging import FEWEST, Judgement
from wslpet.method.training.parts import MIN_JUDGED
from wslpet.method.training.trainer import Trained

# Ten patients are often held out: 40 % of them right, by chance 50 %, is no reason to have no model at all.
SIGNIFICANT = 0.05


def objection(trained: Trained) -> str | None:
    """Return why trained weights are not published, as words that follow "the new model"; None if they are."""
    history, judgement = trained.model.history, trained.judgement
    if judgement is not None and judgement.verdict != "better":
        return _not_better(judgement, history)
    right, chance, held_out = _types(trained)
    if not right >= 0 or binomtest(round(right * held_out), held_out, chance, alternative="less").pvalue < SIGNIFICANT:
        return f"tells the types worse than chance ({right:.0%} of {held_out} right, by chance {chance:.0%})"
    return None


def doubt_of_types(trained: Trained) -> str:
    """Return a sentence if the types are told no better than by chance; "" otherwise."""
    right, chance, held_out = _types(trained)
    if right > chance:
        return ""
    return f"It tells the types no better than chance ({right:.0%} of {held_out} right, by chance {chance:.0%})."


def _types(trained: Trained) -> tuple[float, float, int]:
    """Share of the types that are right in the best epoch, that by chance, and of how many patients."""
    best = next(epoch for epoch in reversed(trained.epochs) if epoch.best)
    patients = trained.model.history["patients"].values()
    chance = 1 / max(1, sum(count > 0 for count in patients))
    return best.type_accuracy, chance, trained.model.history["held_out"] or sum(patients)


def _not_better(judgement: Judgement, history: Mapping[str, Any]) -> str:
    judging, differ = len(judgement.patients), sum(one.gain() != 0 for one in judgement.patients)
    if judgement.verdict == "worse":
        return f"is worse than the one in use on the {judging} patients who judge (p {judgement.p_worse:.3f})"
    if not judgement.patients:
        found = ", ".join(f"{count} {name}" for name, count in history["patients"].items())
        return (
            "cannot be compared with the one in use, as nobody was kept to judge: annotate more than "
            f"{MIN_JUDGED} patients of at least two types (there are {found}), with val_split above 0, "
            "or decide on the page"
        )
    short = f"; {FEWEST} is the fewest that can tell" if differ < FEWEST else ""
    return (
        f"is not known to be better than the one in use: {judging} patients judge, on {differ} of them "
        f"the two differ{short}. Decide on the page, or annotate more"
    )


def not_judged(history: Mapping[str, Any]) -> str:
    """Return a sentence on the types that no held-out patient has, which are not evaluated; "" if there are none."""
    if not history["judging"]:
        return "Nobody was kept to judge, so how good it is on other patients is not known."
    left = {name: n for name, n in history["patients"].items() if n and name not in history["judged"]}
    if not left:
        return ""
    listed = ", ".join(f"{n} {name}" for name, n in left.items())
    return f"Learned from, but not judged, as nobody of that type was kept to judge: {listed}."


def same_network(one: Settings, other: Settings) -> bool:
    """Whether two settings have the same network and the same input, so that weights of one fit the other."""
    shape = ("types", "no_tumour", "grid_mm", "suv_limit", "intensity", "depth", "strides", "dilations", "widths")
    return all(getattr(one, name) == getattr(other, name) for name in (*shape, "pooling"))


def comparable(model: Model | None, settings: Settings) -> Model | None:
    """Return the weights in use if their validation loss can be compared with that of the new ones; else None."""
    return model if model and same_network(model.settings, settings) else None
