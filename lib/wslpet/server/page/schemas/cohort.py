"""All patients at a glance."""

from __future__ import annotations

from pydantic import BaseModel, Field

from wslpet.server.page.schemas.annotations import Annotation, ReadingState
from wslpet.server.page.schemas.names import State


class CohortRow(BaseModel):
    """One image in the cohort table."""

    image: str
    title: str
    state: State
    reason: str = Field(
        default="", description="of a disagreement, why the image cannot be read, or why its annotation does not count"
    )
    annotation: Annotation | None
    annotations: int = Field(description="length of the history")
    lesions: int | None = Field(default=None, description="of the annotation that counts; None while not measured")
    mtv_ml: float | None = Field(default=None, description="metabolic tumour volume of those lesions")
    readings: ReadingState | None = Field(default=None, description="None where one reader reads a patient")
    readers: list[str] = Field(default=[], description="who has read it, as far as the asking reader may know")
    dice: float | None = Field(default=None, description="of the readers, the lowest of their pairs")
    differs: str = Field(default="", description="in words, how the readers differ; empty when they agree")
    flagged: bool = False
    unsure: bool = False
    comments: list[str] = Field(default=[], description="each with its reader")
    predicted: str | None = Field(
        description="the type that the weights say; None while they were not asked, or nobody annotated the image: "
        "their answer must not sway the annotator"
    )
    probability: float | None
    confidence: float | None


class LeftOut(BaseModel):
    """A file of the studies folder that is no image here."""

    file: str = Field(description="path from the studies folder on")
    reason: str


class Cohort(BaseModel):
    """The cohort table."""

    revision: int
    model_version: str | None
    rows: list[CohortRow]
    annotators: dict[str, int] = Field(description="annotator → images whose annotation that counts is theirs")
    looking: bool = Field(description="whether images are still being looked at in the background")
    left_out: list[LeftOut]
    remarks: list[str] = Field(default=[], description="what people should know of the images, in sentences")
