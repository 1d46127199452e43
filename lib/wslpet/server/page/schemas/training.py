"""Trainings, and what a person decides of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from wslpet.server.page.schemas.names import Name


class TrainingProgress(BaseModel):
    """How far the latest training is."""

    state: Literal["none", "waiting", "running", "done", "failed", "stopped"]
    epoch: int = 0
    total_epochs: int = 0
    seconds: float | None = Field(default=None, description="since it began")
    seconds_left: float | None = Field(default=None, description="at most: it ends early when nothing improves")
    message: str = Field(default="", description="what is done beside the epochs, or what came of it, in words")


class Run(BaseModel):
    """One training, now or before."""

    id: str
    name: str
    started: float = Field(description="seconds since 1970")
    state: Literal["running", "done", "failed", "stopped"]
    total_epochs: int
    total_time: str
    patients: dict[str, int]
    skipped: dict[str, str] = Field(description="image → why it was left out")
    from_scratch: bool | None
    published: bool | None = Field(description="whether its weights took the place of those in use")
    not_published: str = Field(description='why they did not, in words that follow "the new model"; else empty')
    not_judged: str = Field(
        default="", description="of which types nobody was held out, and doubt of the types, as sentences"
    )
    model_version: str
    error: str
    best_metric: float
    epochs: list[dict[str, Any]] = Field(
        description="figures of each epoch, as `wslpet.method.training.trainer.EpochReport` names them"
    )
    judgement: dict[str, Any] | None = Field(
        default=None, description="the model before and the new one, as `wslpet.method.training.judging.Judgement`"
    )
    decision: dict[str, Any] | None = Field(default=None, description="of a person, the newest: use, user, time")
    has_weights: bool = Field(default=False, description="whether its weights were kept, so that one can decide")


class Decide(BaseModel):
    """A person's decision on a training's weights."""

    run: Annotated[str, Field(max_length=200)]
    use: bool = Field(description="true: these weights answer from now on; false: those before")
    annotator: Name = Field(default="", description="who decides, where the server does not know accounts")


class TrainOptions(BaseModel):
    """Options of a training."""

    max_epochs: int | None = None
    from_scratch: bool = False


class Training(BaseModel):
    """The state of training, and the runs before."""

    progress: TrainingProgress
    ready: str = Field(description="empty when training can start; else what is missing, in words")
    plan: str = Field(default="", description="when it can start: who is held out, what can be published, how long")
    runs: list[Run] = Field(description="newest first")
