"""Decision of a person on trained weights: to use them, or to keep those that were in use before.

Each decision is a line of `decisions.jsonl` in the folder of the published weights: user, time, run, version, and the
result of the test. It is on disk before `decide` returns; lines are never changed.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from filelock import FileLock

from wslpet.core.atomic_io import locked
from wslpet.core.errors import ModelError
from wslpet.method.network.checkpoint import Model, load_model
from wslpet.method.network.registry import ModelRegistry
from wslpet.server.errors import Conflict, UnknownName, quoted
from wslpet.server.tasks.training.training_record import RUN_FILE

LOG_FILE = "decisions.jsonl"
CANDIDATE_FILE = "model.pt"


@dataclass(frozen=True)
class Decision:
    """A person's decision about the weights of a run.

    Parameters
    ----------
    run : id of the run, name/time.
    version : version of its weights.
    use : whether these weights are used from now on, or those before.
    user, time : name of the person, and time, ISO 8601 in UTC.
    verdict : result of the test: "better", "worse" or "cannot tell"; "" if nothing was compared.
    """

    run: str
    version: str
    use: bool
    user: str
    time: str
    verdict: str


def decide(registry: ModelRegistry, run: str, use: bool, user: str) -> Decision:
    """Publish the weights of a run, or go back to those before, and record the decision.

    Parameters
    ----------
    run : id of the run, name/time.
    use : whether the weights of the run are used.
    user : name of the person who decides.

    Raises
    ------
    UnknownName
        if there is no such run.
    Conflict
        if the run left no weights: it is of an older version, failed, or is still running.
    ModelError
        if the weights cannot be read, or no weights were in use before them; nothing is changed.
    """
    folder = registry.file.parent
    record = next((file for file in folder.glob(f"*/*/{RUN_FILE}") if run_id(file) == run), None)
    if record is None:
        raise UnknownName(f"training {quoted(run)} does not exist; GET training lists them")
    candidate = record.with_name(CANDIDATE_FILE)
    if not candidate.exists():
        raise Conflict(f"training {quoted(run)} left no weights to decide on; train again")
    model = load_model(candidate)
    verdict = (json.loads(record.read_text(encoding="utf-8")).get("judgement") or {}).get("verdict", "")
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    decision = Decision(run, model.version, use, user, now, verdict)
    with locked(FileLock(folder / "decisions.lock")):
        _apply(registry, model, use)
        _append(folder / LOG_FILE, decision)
    return decision


def decisions(registry: ModelRegistry) -> list[Decision]:
    """Read all decisions, oldest first."""
    try:
        lines = (registry.file.parent / LOG_FILE).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [Decision(**json.loads(line)) for line in lines]


def run_id(record: Path) -> str:
    """Return the id of a run, from the path of its record."""
    return f"{record.parent.parent.name}/{record.parent.name}"


def _apply(registry: ModelRegistry, model: Model, use: bool) -> None:
    in_use = load_model(registry.file).version if registry.file.exists() else ""
    if use and in_use != model.version:
        registry.publish(model)
    elif not use and in_use == model.version:
        try:
            registry.rollback()
        except ModelError:
            registry.withdraw()  # the shipped weights are used again


def _append(log: Path, decision: Decision) -> None:
    content: dict[str, Any] = asdict(decision)
    with open(log, "a", encoding="utf-8") as file:
        file.write(json.dumps(content) + "\n")
        file.flush()
        os.fsync(file.fileno())
