"""What the routes of several readers give."""

from __future__ import annotations

from pydantic import BaseModel, Field

from wslpet.analysis.burden.readers import CohortAgreement, PairAgreement
from wslpet.server.page.schemas.annotations import Annotation
from wslpet.server.tasks.findings import Delineated


class PairOfReaders(BaseModel):
    """Agreement of two readers on one image; the second reader is the later by name."""

    readers: tuple[str, str]
    types: tuple[str, str]
    lesions: tuple[int, int]
    matched: int = Field(description="lesions that share a voxel, one with one, by the most shared voxels")
    dice: float = Field(description="of all lesions together")
    tmtv_ml: tuple[float, float]
    tmtv_difference_ml: float = Field(description="the second reader's, minus the first's")

    @classmethod
    def of(cls, pair: PairAgreement) -> PairOfReaders:
        """Of a comparison."""
        return cls(**pair.to_dict(), tmtv_difference_ml=pair.tmtv_difference_ml)


class Reading(BaseModel):
    """One reader's reading, with its lesions."""

    annotation: Annotation
    lesions: Delineated | None = Field(description='None of "no tumour"')


class ImageReview(BaseModel):
    """All readings of an image, to be compared and decided between."""

    readings: list[Reading]
    consensus: Annotation | None
    agreement: list[PairOfReaders] = Field(description="of each two readers")


class ReadersOfCohort(BaseModel):
    """Agreement of two readers over the patients that both have read; figures as of `CohortAgreement`."""

    readers: tuple[str, str]
    patients: int
    types_agree: float
    kappa: float | None = Field(description="Cohen's, of the cancer type; None where it is not defined")
    lesions: tuple[int, int]
    matched: int
    lesions_agree: float | None = Field(description="2 · matched / lesions of both")
    dice_mean: float
    dice_median: float
    tmtv_bias_ml: float = Field(description="mean difference, the second reader's minus the first's")
    tmtv_sd_ml: float | None
    tmtv_limits_ml: tuple[float, float] | None = Field(description="bias ± 1.96 standard deviations (Bland–Altman)")

    @classmethod
    def of(cls, found: CohortAgreement) -> ReadersOfCohort:
        """Of a summary."""
        return cls(**vars(found))


class Agreement(BaseModel):
    """Agreement of the readers of the cohort."""

    needed: int = Field(description="readers per patient")
    pairs: list[ReadersOfCohort]
    pending: int = Field(description="pairs of readings that are still to be compared, in the background")
