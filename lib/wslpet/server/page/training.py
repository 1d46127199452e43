"""Training as the page shows it: what runs, what ran, and how long it takes still."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fastapi import HTTPException
from monailabel.endpoints import train as monailabel_train
from monailabel.utils.async_tasks.task import AsyncTask

from wslpet.core.errors import InputError
from wslpet.method.training.judging import FEWEST, LEVEL
from wslpet.method.training.parts import split
from wslpet.server.errors import Conflict
from wslpet.server.page.schemas.training import Run, Training, TrainingProgress, TrainOptions
from wslpet.server.tasks.training import decision
from wslpet.server.tasks.training.decision import CANDIDATE_FILE, Decision, decisions, run_id
from wslpet.server.tasks.training.train import LearnFromSeeds
from wslpet.server.tasks.training.training_record import RUN_FILE

TASK = "wslpet"
RUNS_SHOWN = 30
# A training has a process by then, also on a busy machine.
BEGINNING_SECONDS = 30.0
_STATES = {"SUBMITTED": "waiting", "RUNNING": "running", "DONE": "done", "ERROR": "failed", "STOPPED": "stopped"}


def start(app: Any, options: TrainOptions) -> None:
    """Start a training as POST /train/wslpet does.

    Raises
    ------
    TrainingError
        when the annotations teach nothing yet.
    Conflict
        when one runs already.
    """
    request = {**options.model_dump(exclude_none=True), "pretrained": not options.from_scratch}
    app.check_training(TASK, request)
    if _state() in ("waiting", "running"):
        raise Conflict("a training is running already; wait for it, or stop it first")
    try:
        monailabel_train.run_model(TASK, {**request, "model": TASK})
    except HTTPException as error:
        raise Conflict(f"the training did not start: {error.detail}") from error


def stop() -> None:
    """Stop the training that runs; the weights in use stay.

    One that was only just asked for is waited for: MONAI Label stops a process, and without one it would do nothing.
    """
    deadline = time.monotonic() + BEGINNING_SECONDS
    while _state() == "waiting" and time.monotonic() < deadline:
        time.sleep(0.05)
    monailabel_train.stop()


def decide(app: Any, run: str, use: bool, user: str) -> None:
    """Use a run's weights or keep those before; errors as of `wslpet.server.tasks.training.decision.decide`."""
    decision.decide(app.weights.history, run, use, user)


def training(app: Any) -> Training:
    """The state of training: progress, what is missing to start, and the runs before."""
    task: LearnFromSeeds = app._trainers[TASK]
    ready = ""
    try:
        app.check_training(TASK, {})
    except InputError as error:
        ready = str(error)
    files = sorted(task.folder.glob(f"*/*/{RUN_FILE}"), key=lambda file: file.parent.name, reverse=True)
    decided = {one.run: one for one in decisions(app.weights.history)}
    runs = [run for file in files[:RUNS_SHOWN] if (run := _run(file, file == files[0], decided))]
    validation = app.settings.validation
    plan = "" if ready else planned(_patients(app), validation, app.page.predictions.model_version(), runs)
    return Training(progress=progress(task), ready=ready, plan=plan, runs=runs)


@dataclass(frozen=True)
class Annotated:
    """An annotated patient, as far as it decides who learns and who judges."""

    patient: str
    cancer_type: str


def _patients(app: Any) -> list[Annotated]:
    store, classes = app.page.datastore, app.settings.classes
    said = sorted(store.seeded().items())
    return [
        Annotated(store.facts(image).get("PatientID") or image, one.cancer_type)
        for image, one in said
        if one.cancer_type in classes
    ]


def planned(patients: Sequence[Annotated], validation: float, in_use: str | None, runs: Sequence[Run]) -> str:
    """What a training would do, in sentences: who is kept to judge, whether it can be published, how long it takes.

    Parameters
    ----------
    patients : those who are annotated.
    validation : share to choose the epoch on, and share to judge on.
    in_use : version of the weights in use; None without.
    runs : those before, newest first; their time for each patient and epoch predicts the time of this one.
    """
    parts = split(patients, validation, validation)
    sentences = [f"Learns from {_listed(parts.learning)}."]
    if parts.stopping:
        sentences.append(f"{_listed(parts.stopping)} choose the epoch.")
    sentences.append(f"{_listed(parts.judging)} are kept to judge." if parts.judging else "Nobody is kept to judge.")
    unjudged = sorted({one.cancer_type for one in patients} - {one.cancer_type for one in parts.judging})
    if parts.judging and unjudged:
        sentences.append(f"Not judged: {', '.join(unjudged)}.")
    sentences.append(_can_be_published(len(parts.judging), in_use))
    seconds = next(filter(None, map(_pace, runs)), None)
    if seconds is not None:
        sentences.append(f"An epoch takes about {seconds * len(patients):.1f} s, as the runs before say.")
    return " ".join(sentences)


def _can_be_published(judging: int, in_use: str | None) -> str:
    if in_use is None:
        return "There is no model yet: the first one is used in any case."
    if judging < FEWEST:
        return (
            f"The new model cannot be shown to be better, which takes {FEWEST} patients who judge; "
            "it is shown beside the one in use, and you decide."
        )
    return f"It is used if it is better on them (paired test, level {LEVEL:.0%}); if that cannot be told, you decide."


def _listed(patients: Sequence[Annotated]) -> str:
    counts = Counter(one.cancer_type for one in patients)
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


def _pace(run: Run) -> float | None:
    """Seconds for each patient and epoch of a run that was done."""
    patients = sum(run.patients.values())
    if run.state != "done" or not run.epochs or not patients:
        return None
    last = run.epochs[-1].get("seconds")
    return last / len(run.epochs) / patients if last else None


def progress(task: LearnFromSeeds) -> TrainingProgress:
    """Of the latest training since the server started."""
    state = _state()
    if state == "none":
        return TrainingProgress(state="none")
    started, stats = _started(), task.stats()
    if stats.get("start_ts", 0) < int(started):  # of an earlier one: this one is still starting
        stats = {}
    epoch, total = int(stats.get("epoch", 0)), int(stats.get("total_epochs", 0))
    elapsed = time.time() - started
    per_epoch = _seconds(stats.get("current_time")) / epoch if epoch else None
    return TrainingProgress(
        state=state,  # type: ignore[arg-type]
        epoch=epoch,
        total_epochs=total,
        seconds=elapsed if state == "running" else None,
        seconds_left=None if per_epoch is None or state != "running" else per_epoch * (total - epoch),
        message=_message(state, stats),
    )


def _message(state: str, stats: dict[str, Any]) -> str:
    if state == "done":
        came = f"The new model {stats.get('not_published')}; the one in use stays."
        return f"{'The new model is in use.' if stats.get('published') else came} {stats.get('not_judged', '')}".strip()
    if state == "stopped":
        return "Stopped; the model in use stays."
    if state == "failed":
        return str(stats.get("error") or "") or _last_words()
    return str(stats.get("stage", ""))


def _last_words() -> str:
    task, _ = AsyncTask.status("train")
    lines = list(task.get("details", [])) if isinstance(task, dict) else []
    return f"It ended with an error: {lines[-1]}" if lines else "It ended with an error; the server's log says which."


def _state() -> str:
    task, _ = AsyncTask.status("train")
    return "none" if not isinstance(task, dict) else _STATES.get(str(task.get("status")), "failed")


def _started() -> float:
    task, _ = AsyncTask.status("train")
    text = task.get("start_ts", "") if isinstance(task, dict) else ""
    return time.mktime(time.strptime(text, "%Y-%m-%d %H:%M:%S")) if text else 0.0


def _run(file: Path, is_newest: bool, decided: Mapping[str, Decision]) -> Run | None:
    try:
        stats = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    ended = "total_time" in stats
    if ended:
        state = "failed" if stats.get("error") else "done"
    else:
        state = "running" if is_newest and _state() == "running" else "stopped"
    return Run(
        id=run_id(file),
        name=str(stats.get("name", "")),
        started=float(stats.get("start_ts", 0)),
        state=state,  # type: ignore[arg-type]
        total_epochs=int(stats.get("total_epochs", 0)),
        total_time=str(stats.get("total_time") or stats.get("current_time") or ""),
        patients=stats.get("patients", {}),
        skipped=stats.get("skipped", {}),
        from_scratch=stats.get("from_scratch"),
        published=stats.get("published"),
        not_published=str(stats.get("not_published", "")),
        not_judged=str(stats.get("not_judged", "")),
        model_version=str(stats.get("model_version", "")),
        error=str(stats.get("error", "")),
        best_metric=float(stats.get("eval", {}).get("best_metric", 0.0)),
        epochs=stats.get("epochs", []),
        judgement=stats.get("judgement"),
        decision=asdict(decided[run_id(file)]) if run_id(file) in decided else None,
        has_weights=file.with_name(CANDIDATE_FILE).exists(),
    )


def _seconds(text: Any) -> float:
    """Of MONAI Label's "1 day, 0:02:31"."""
    days, _, clock = str(text or "0:00:00").rpartition(", ")
    hours, minutes, seconds = (int(part) for part in clock.split(":"))
    return int(days.split()[0]) * 86400.0 if days else hours * 3600.0 + minutes * 60.0 + seconds
