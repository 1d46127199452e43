"""Whether new weights take the place of those in use, and what is said of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wslpet.core.settings import Settings
from wslpet.method.network.checkpoint import Model
from wslpet.method.training.trainer import MIN_JUDGED, Trained


def objection(trained: Trained) -> str | None:
    """Why new weights must not answer, if so, in words that follow "the new model"."""
    history = trained.model.history
    if not trained.better and not history["held_out"]:
        found = ", ".join(f"{count} {name}" for name, count in history["patients"].items())
        return (
            "cannot be compared with the one in use, as nobody was held out of training: annotate "
            f"{MIN_JUDGED} patients of at least two types (there are {found}), with val_split above 0"
        )
    if not trained.better:
        return f"is no better than the one in use on the held-out patients ({', '.join(history['judged'])})"
    best = next(epoch for epoch in reversed(trained.epochs) if epoch.best)
    types = len(history["judged"]) or sum(count > 0 for count in history["patients"].values())
    chance = 1 / max(1, types)
    if not best.type_accuracy >= chance:
        return f"tells the types worse than chance ({best.type_accuracy:.0%} right, by chance {chance:.0%})"
    return None


def not_judged(history: Mapping[str, Any]) -> str:
    """What the held-out patients say nothing of, as a sentence; empty when there is nothing."""
    if not history["held_out"]:
        return "Nobody was held out of training, so how good it is on other patients is not known."
    left = {name: n for name, n in history["patients"].items() if n and name not in history["judged"]}
    if not left:
        return ""
    listed = ", ".join(f"{name} ({n} of {MIN_JUDGED} patients that it takes)" for name, n in left.items())
    return f"Learned from, but not judged, as nobody of that type was held out: {listed}."


def same_network(one: Settings, other: Settings) -> bool:
    """Whether weights of one are weights of the other, seen through the same input."""
    shape = ("types", "no_tumour", "grid_mm", "suv_limit", "intensity", "depth", "strides", "dilations", "widths")
    return all(getattr(one, name) == getattr(other, name) for name in (*shape, "pooling"))


def comparable(model: Model | None, settings: Settings) -> Model | None:
    """The weights in use, when their validation loss means the same as that of the new ones."""
    return model if model and same_network(model.settings, settings) else None
