"""What the page knows of the server, and what changes while it is open."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field

from wslpet.server.page.schemas.names import Name
from wslpet.server.page.schemas.training import TrainingProgress


class Strategy(BaseModel):
    """How the next patient is chosen."""

    name: str
    description: str


class Configuration(BaseModel):
    """What the page has to know of the server."""

    version: str
    classes: list[str] = Field(description="what can be clicked, in the order of the keys 1, 2, …")
    no_tumour: str = Field(description="the class that needs no click")
    contour_methods: list[str] = Field(description="how the contour of a lesion can be found, the default first")
    strategies: list[Strategy]
    training: dict[str, Any] = Field(description="the train task's options and their defaults")
    user: str | None = Field(description="the account; None where annotators name themselves")
    readers: int = Field(description="who read each patient, blind to each other; 1 is no blind reading")
    may_annotate: bool
    may_review: bool
    may_train: bool


class Status(BaseModel):
    """What changes while a page is open; cheap to ask for."""

    boot: str = Field(description="changes when the server starts anew")
    revision: int = Field(description="changes with every annotation")
    images: int
    annotated: int
    unreadable: int = Field(description="images without an annotation that cannot be used; the cohort says why")
    model_version: str | None
    training: TrainingProgress
    read: int | None = Field(default=None, description="of several readers: images that the asking one has read")
    complete: int | None = Field(default=None, description="of several readers: images that all have read")
    reviewed: int | None = Field(default=None, description="of several readers: images with a consensus")
    trouble: str = Field(default="", description="why the list of images may be old: a PACS that does not answer")
    remarks: list[str] = Field(default=[], description="what people should know of the images, in sentences")


class Opened(BaseModel):
    """The images that a browser has open."""

    client: Name = Field(default="", description="any text of the browser's own")
    open: list[Annotated[str, Field(max_length=300)]] = Field(default=[], max_length=20)
