"""Body of a patient, for the normalisation of SUV and distances: lean body mass and body surface area."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.dataset import Dataset

from wslpet.core.errors import DicomError
from wslpet.io.dicom.headers import CORRECT, Header
from wslpet.io.dicom.suv import MEASURE_SHARE, MEASURES, SIZE_M, WEIGHT_KG


@dataclass(frozen=True)
class Body:
    """Weight, height and sex of a patient; None and "" where they are not known.

    Parameters
    ----------
    weight_kg : Patient's Weight (0010,1030).
    size_m : Patient's Size (0010,1020), the height.
    sex : "M" or "F"; any other value means unknown.
    """

    weight_kg: float | None = None
    size_m: float | None = None
    sex: str = ""

    @property
    def sul_factor(self) -> float | None:
        """SUL = SUVbw · this: lean body mass by Janmahasatian et al. over body weight; None where not known.

        Clin Pharmacokinet 2005;44:1051–1065; DICOM's SUVlbm(Janma) (PS3.16 CID 7180).
        """
        if self.weight_kg is None or self.size_m is None or self.sex not in ("M", "F"):
            return None
        share = MEASURES["LBMJANMA"].value(self.weight_kg, self.size_m, self.sex) / self.weight_kg
        return share if MEASURE_SHARE[0] <= share <= MEASURE_SHARE[1] else None

    @property
    def surface_m2(self) -> float | None:
        """Body surface area by Du Bois and Du Bois 1916, in m²; None where not known."""
        if self.weight_kg is None or self.size_m is None:
            return None
        thousand_cm2 = MEASURES["BSA"].value(self.weight_kg, self.size_m, self.sex)
        return thousand_cm2 / 10.0


NOTHING_KNOWN = Body()


def body_of(header: Dataset) -> Body:
    """Read the body from a DICOM header; values that are missing or outside the limits for SUV are unknown."""
    read = Header(header)

    def known(tag: str, limits: tuple[float, float]) -> float | None:
        try:
            return read.optional_number(tag, limits, CORRECT)
        except DicomError:
            return None

    return Body(known("PatientWeight", WEIGHT_KG), known("PatientSize", SIZE_M), read.text("PatientSex"))
