"""What the page's API takes and gives."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import unquote

from fastapi import Depends, Header
from fastapi import Path as InPath
from monailabel.config import settings
from pydantic import BaseModel, ConfigDict, Field, model_validator

from wslpet.server.http.authentication import AnyUser
from wslpet.server.storage.annotations.clicks import MAX_POINTS
from wslpet.server.tasks.findings import Contour, Triple


def _named(
    image: Annotated[
        str, InPath(description="an image's name, percent-encoded twice where it holds / or %", max_length=900)
    ],
) -> str:
    """What an address calls an image: servers and proxies decode once, and a name with / would be a path then."""
    return unquote(image)


def _reading(
    user: AnyUser,
    wslpet_reader: Annotated[
        str, Header(description="who reads, percent-encoded, where the server does not know accounts", max_length=900)
    ] = "",
) -> str:
    """The account, or the name that the page gives; "" of a program that gives none."""
    return user.username if settings.MONAI_LABEL_AUTH_ENABLE else unquote(wslpet_reader)[:100]


Image = Annotated[str, Depends(_named)]
# Whose view it is: the readings of others are hidden from a reader who is to read blind.
Reader = Annotated[str, Depends(_reading)]
Finite = Annotated[float, Field(allow_inf_nan=False, ge=-1e6, le=1e6)]
Position = tuple[Finite, Finite, Finite]
Name = Annotated[str, Field(max_length=100)]
Plane = Literal["sagittal", "coronal", "axial"]
State = Literal["annotated", "unannotated", "disagreement", "unreadable"]


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


class TrainingProgress(BaseModel):
    """How far the latest training is."""

    state: Literal["none", "waiting", "running", "done", "failed", "stopped"]
    epoch: int = 0
    total_epochs: int = 0
    seconds: float | None = Field(default=None, description="since it began")
    seconds_left: float | None = Field(default=None, description="at most: it ends early when nothing improves")
    message: str = Field(default="", description="what came of it, in words")


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


class AnnotatedSeed(BaseModel):
    """One lesion of an annotation."""

    position: Triple = Field(description="mm RAS")
    contour: Contour
    user: str = Field(description="who said first that it is there")
    time: str


class Annotation(BaseModel):
    """One entry of an image's history; it is never overwritten, only superseded or withdrawn."""

    kind: Literal["seed", "withdrawn", "remark"]
    user: str
    time: str
    cancer_type: str = ""
    position: Triple | None = Field(default=None, description="mm RAS; None of no tumour, and of a withdrawal")
    seeds: list[AnnotatedSeed] = Field(default=[], description="one for each lesion; `position` is that of the first")
    background: list[Triple] = Field(default=[], description="mm RAS of places that are said to be no tumour")
    counts: bool = Field(default=False, description="whether this is the annotation that is learned from")
    own: bool = Field(default=False, description="whether this is the asking reader's reading")
    review: bool = Field(default=False, description="whether this is the consensus of a reviewer")
    flag: bool = Field(default=False, description="of a remark: somebody else should look at this patient")
    unsure: bool = Field(default=False, description="of a remark: its reader is not sure")
    comment: str = Field(default="", description="of a remark")


class ReadingState(BaseModel):
    """How far the readings of an image by several readers are."""

    needed: int
    done: int
    mine: bool = Field(description="whether the asking reader has read it")
    open: bool = Field(description="whether all may see all readings, and a reviewer decide")
    reviewed: bool = Field(description="whether there is a consensus")


class Patient(BaseModel):
    """A scan as the page shows it; its MIPs come as `mips`."""

    image: str
    title: str = Field(description="PatientID and StudyDate of a DICOM series, else the image's name")
    shape: tuple[int, int, int] = Field(description="of the RAS volume along x (right), y (anterior), z (superior)")
    spacing: Triple = Field(description="mm")
    affine: list[list[float]] = Field(description="4 × 4, RAS voxel → mm RAS")
    suv_step: float = Field(description="SUV of one step of the numbers in MIPs and slices")
    notes: list[str] = Field(default=[], description="what was inferred, not read, of a DICOM series' SUV, in words")
    ct: bool = Field(default=False, description="whether a CT lies beside it, which comes as `ct`")
    history: list[Annotation] = Field(description="newest last")
    readings: ReadingState | None = Field(default=None, description="None where one reader reads a patient")


class NextRequest(BaseModel):
    """A request for the next patient to annotate."""

    strategy: Name
    client: Name = Field(
        default="", description="any text of the browser's own; another browser is offered other patients"
    )
    exclude: list[str] = Field(default=[], max_length=1000)


class Next(BaseModel):
    """The next patient to annotate."""

    image: str | None = Field(description="None when none is left")
    waiting: int = Field(description="images without an annotation")
    elsewhere: int = Field(description="of those, how many are open in other browsers")
    message: str = Field(default="", description="when none is left: what that means, in sentences")


class SeedPlace(BaseModel):
    """A seed of a lesion, and the reader's choice of its contour."""

    position: Position = Field(description="mm RAS")
    contour: Contour = Field(default=Contour(), description="ours, as it is, by default")


class Click(BaseModel):
    """The lesions of a patient, not recorded: `seeds`, or `position` where there is one with our contour."""

    cancer_type: Name
    position: Position | None = Field(default=None, description="mm RAS; None of no tumour, and beside `seeds`")
    seeds: list[SeedPlace] = Field(default=[], max_length=MAX_POINTS, description="one a lesion, the primary first")
    background: list[Position] = Field(
        default=[],
        max_length=MAX_POINTS,
        description="mm RAS of places that are no tumour; inside a lesion, what belongs to them is cut off",
    )

    @model_validator(mode="after")
    def _one_way(self) -> Click:
        if self.position is not None and self.seeds:
            raise ValueError("both position and seeds are given; give one of them")
        return self


class Save(Click):
    """An annotation to record."""

    annotator: Name = Field(default="", description="who clicked, where the server does not know accounts")
    seen: int = Field(default=0, ge=0, description="length of the history that the annotator saw")
    id: Name = Field(
        default="", description="any text of this annotation's own: sent twice with it, it is recorded once"
    )
    sure: bool = Field(default=False, description="the annotator confirms a click that the delineation doubts")
    review: bool = Field(default=False, description="the consensus of a reviewer, when all have read the image")


class Saved(BaseModel):
    """A recorded annotation, and the history of its image."""

    annotation: Annotation
    known: bool = Field(description="it was recorded before: the request came twice")
    meanwhile: list[Annotation] = Field(description="by others since the annotator looked; superseded, not lost")
    history: list[Annotation]


class Withdraw(BaseModel):
    """A request to take annotations back."""

    time: Name = Field(description="of the annotation to take back, which must be the newest")
    annotator: Name = ""
    all: bool = Field(default=False, description="those before it, too: the image is to be annotated again")


class RemarkRequest(BaseModel):
    """What a reader notes of a patient; it takes the place of what the same reader noted before."""

    model_config = ConfigDict(extra="forbid")

    annotator: Name = ""
    flag: bool = Field(default=False, description="somebody else should look at this patient")
    unsure: bool = Field(default=False, description="the reader is not sure")
    comment: str = Field(default="", max_length=1000)


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


class Imported(BaseModel):
    """The outcome of an imported table."""

    recorded: int
    superseded: int = Field(description="of those recorded, how many took the place of another annotation")
    known: int = Field(description="rows that are on record already")
    refused: list[str] = Field(description="one sentence a row that cannot be used")


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
    not_judged: str = Field(default="", description="of which types nobody was held out, as a sentence; else empty")
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
