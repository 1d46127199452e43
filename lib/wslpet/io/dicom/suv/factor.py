"""SUV by body weight (SUVbw, g/ml) from PET headers of any vendor.

The rules are the vendor-neutral ones of the QIBA FDG-PET profile. There are no default values: if the factor does not
follow from the headers, the series is refused, with the tag. A value that is inferred is reported in a note.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydicom.dataset import Dataset

from wslpet.core.errors import DicomError
from wslpet.io.dicom.headers import CORRECT, Header, Limits, same_in_all
from wslpet.io.dicom.suv.decay import Reference, frames_of
from wslpet.io.dicom.suv.injection import denies_injection, half_life_of, injection, moments_of_frames, reference
from wslpet.io.dicom.suv.other_units import counts_to_activity, counts_to_suv, from_other_suv, weight_of

DOSE_BQ: Limits = (1e6, 1e10)
# A dose below NO_DOSE_IN_BQ is not in Bq. From DOSE_IN_MBQ up it is in MBq; below, it could be in MBq or in mCi.
NO_DOSE_IN_BQ, DOSE_IN_MBQ = 10_000.0, 50.0


@dataclass(frozen=True)
class Suv:
    """Conversion of the stored values of a series to SUVbw, and what it was computed from.

    Parameters
    ----------
    units : Units (0054,1001): BQML, CNTS, GML or CM2ML.
    factors : one per slice, in the order of the headers: SUV = (stored · slope + intercept) · factor.
    decay_correction : Decay Correction (0054,1102): START, ADMIN or NONE.
    weight_kg, dose_bq, half_life_s, injected : values that the factors were computed from; None if not needed.
    scanned : reference time of decay correction; None if not needed.
    scan_tag : the element from which `scanned` was taken.
    notes : sentences on values that were inferred.
    """

    units: str
    factors: tuple[float, ...]
    decay_correction: str
    weight_kg: float | None = None
    dose_bq: float | None = None
    half_life_s: float | None = None
    injected: datetime | None = None
    scanned: datetime | None = None
    scan_tag: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def factor(self) -> float | None:
        """Factor of the series; None if its slices have different factors."""
        return self.factors[0] if len(set(self.factors)) == 1 else None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values without the notes; `factor` is a number, or a list if the slices' factors differ."""
        return {
            "units": self.units,
            "factor": list(self.factors) if self.factor is None else self.factor,
            "decay_correction": self.decay_correction,
            "weight_kg": self.weight_kg,
            "dose_bq": self.dose_bq,
            "half_life_s": self.half_life_s,
            "injected": self.injected and self.injected.isoformat(),
            "scanned": self.scanned and self.scanned.isoformat(),
            "scan_tag": self.scan_tag,
        }


def suv_of(headers: Sequence[Dataset]) -> Suv:
    """Compute the SUVbw factors of one series.

    Parameters
    ----------
    headers : headers of all slices, since the earliest acquisition time is needed; without pixels.

    Raises
    ------
    DicomError
        if SUV cannot be computed; it names the file, the tag, its value and the remedy.
    """
    if not headers:
        raise DicomError("a series without files has no SUV; name its folder")
    slices = [Header(dataset) for dataset in headers]
    decay = _decay_correction(slices)
    units = same_in_all(slices, "Units", lambda header: header.text("Units"))
    notes: list[str] = []
    if units in ("GML", "CM2ML"):
        _check_corrected(slices, decay)
        factor, weight = from_other_suv(slices, units, notes)
        return Suv(units, (factor,) * len(slices), decay, weight, notes=tuple(notes))
    if units == "CNTS":
        factors = counts_to_suv(slices, notes)
        if factors is not None:
            _check_corrected(slices, decay)
            return Suv(units, factors, decay, notes=tuple(notes))
        return _from_activity(slices, units, decay, counts_to_activity(slices, notes), notes)
    if units == "BQML":
        return _from_activity(slices, units, decay, (1.0,) * len(slices), notes)
    problem = "none of BQML, CNTS, GML and CM2ML" if units else "missing"
    raise slices[0].refusal("Units", problem, "reconstruct or export the series in Bq/ml")


def _decay_correction(slices: list[Header]) -> str:
    """Decay Correction: START, ADMIN, or NONE when Corrected Image confirms that there is none."""
    decay = same_in_all(slices, "DecayCorrection", lambda header: header.text("DecayCorrection"))
    for header in slices:
        corrections = header.texts("CorrectedImage")
        for needed, what in (("ATTN", "attenuation"), ("DECY", "decay")):
            if needed not in corrections and not (needed == "DECY" and corrections and decay == "NONE"):
                problem = f"without {needed}" if corrections else "missing"
                remedy = f"SUV needs {what} correction; send the corrected series"
                raise header.refusal("CorrectedImage", problem, remedy)
        if decay == "NONE" and "DECY" in corrections:
            raise header.refusal("DecayCorrection", f"but Corrected Image is {header.shown('CorrectedImage')}", CORRECT)
    if decay not in ("START", "ADMIN", "NONE"):
        problem = "not START, ADMIN or NONE" if decay else "missing"
        raise slices[0].refusal("DecayCorrection", problem, "reconstruct the series with decay correction to its start")
    return decay


def _check_corrected(slices: list[Header], decay: str) -> None:
    """Refuse a series in SUV without decay correction: its reference time would be unknown."""
    if decay == "NONE":
        raise slices[0].refusal("DecayCorrection", "of a series in SUV", "export the series in Bq/ml")


def _from_activity(
    slices: list[Header], units: str, decay: str, to_activity: tuple[float, ...], notes: list[str]
) -> Suv:
    weight = same_in_all(slices, "PatientWeight", weight_of)
    tracers = [header.item("RadiopharmaceuticalInformationSequence", CORRECT) for header in slices]
    dose = same_in_all(tracers, "RadionuclideTotalDose", _dose)
    if dose != tracers[0].number("RadionuclideTotalDose", (-1e300, 1e300), CORRECT):
        notes.append(
            f"Radionuclide Total Dose (0018,1074) is {tracers[0].shown('RadionuclideTotalDose')}, which can be no Bq: "
            f"taken for MBq."
        )
    if decay == "ADMIN" and not denies_injection(slices, tracers):
        # Image and dose are both corrected to the injection, so no times are needed.
        factors = tuple(factor * weight * 1000.0 / dose for factor in to_activity)
        return Suv(units, factors, decay, weight, dose, notes=tuple(notes))
    half_life = same_in_all(tracers, "RadionuclideHalfLife", half_life_of)
    frames = frames_of(slices, half_life)
    if decay == "NONE":
        moments = moments_of_frames(frames, notes)
        decay_reference = Reference("AcquisitionTime", min(frame.acquired for frame in frames))
    else:
        decay_reference = reference(frames, tracers, decay, notes)
        moments = [decay_reference.moment] * len(frames)
    injected, inferred = injection(tracers, slices[0], half_life, decay_reference.moment)
    left = [dose * 2.0 ** (-(moment - injected).total_seconds() / half_life) for moment in moments]
    factors = tuple(factor * weight * 1000.0 / rest for factor, rest in zip(to_activity, left, strict=True))
    return Suv(
        units,
        factors,
        decay,
        weight,
        dose,
        half_life,
        injected,
        decay_reference.moment,
        decay_reference.tag,
        (*notes, *inferred),
    )


def _dose(tracer: Header) -> float:
    """Radionuclide Total Dose in Bq; an implausibly small value is taken as MBq, or refused where it may be mCi."""
    remedy = "give the dose in Bq at the time of injection"
    dose = tracer.number("RadionuclideTotalDose", (-1e300, 1e300), remedy)
    if DOSE_IN_MBQ <= dose < NO_DOSE_IN_BQ:
        return dose * 1e6
    if 0 < dose < DOSE_IN_MBQ:
        raise tracer.refusal("RadionuclideTotalDose", "MBq or mCi written as Bq", remedy)
    return tracer.number("RadionuclideTotalDose", DOSE_BQ, remedy)
