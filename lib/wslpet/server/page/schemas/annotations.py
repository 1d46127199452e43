"""Patients and what is said of them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from wslpet.server.page.schemas.names import Name, Position
from wslpet.server.storage.annotations.clicks import MAX_POINTS
from wslpet.server.tasks.findings import Contour, Triple


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
    study: str = Field(default="", description="StudyInstanceUID of a series on a PACS, for OHIF; empty of others")
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


class Imported(BaseModel):
    """The outcome of an imported table."""

    recorded: int
    superseded: int = Field(description="of those recorded, how many took the place of another annotation")
    known: int = Field(description="rows that are on record already")
    refused: list[str] = Field(description="one sentence a row that cannot be used")
