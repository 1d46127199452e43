"""SUV in another unit, by another measure of the body or in counts → factors to SUVbw or Bq/ml."""

from __future__ import annotations

from wslpet.io.dicom.headers import CORRECT, Header, Limits, same_in_all
from wslpet.io.dicom.suv.body_measures import MEASURE_SHARE, MEASURES, SIZE_M, WEIGHT_KG

PRIVATE_FACTOR: Limits = (0.0, 1e9)
PHILIPS = (0x7053, "Philips PET Private Group")
SUV_FACTOR, ACTIVITY_FACTOR = 0x00, 0x09


def from_other_suv(slices: list[Header], units: str, notes: list[str]) -> tuple[float, float | None]:
    """Factor from SUV of the header's SUV Type to SUVbw, and the weight where it was needed."""
    kind = same_in_all(slices, "SUVType", lambda header: header.text("SUVType"))
    kind = kind or {"GML": "BW", "CM2ML": "BSA"}[units]
    if kind == "BW" and units == "GML":
        return 1.0, None
    measure = MEASURES.get(kind)
    remedy = "export SUV by body weight, or the series in Bq/ml"
    if measure is None:
        raise slices[0].refusal("SUVType", f"none of BW, {', '.join(MEASURES)}", remedy)
    if measure.units != units:
        raise slices[0].refusal("SUVType", f"which is not in {units}", remedy)
    weight = same_in_all(slices, "PatientWeight", weight_of)
    size = same_in_all(slices, "PatientSize", _size)
    sex = same_in_all(slices, "PatientSex", lambda header: header.text("PatientSex"))
    if sex not in ("M", "F", "O"):
        problem = "none of M, F and O" if sex else "missing"
        raise slices[0].refusal("PatientSex", problem, f"SUV by {measure.name} needs it; {remedy}")
    norm = measure.value(weight, size, sex)
    if not MEASURE_SHARE[0] <= norm / weight <= MEASURE_SHARE[1]:
        raise slices[0].refusal("PatientSize", f"no height for {weight:g} kg and {measure.name}", remedy)
    both = ", the mean of the men's and the women's formula" if sex == "O" and measure.men != measure.women else ""
    shown = f"{norm:.1f} kg" if units == "GML" else f"{norm / 10:.2f} m²"
    notes.append(
        f"The series is SUV by {measure.name}: turned into SUV by body weight with {weight:g} kg and {shown}{both}."
    )
    return weight / norm, weight


def _philips(slices: list[Header], element: int, notes: list[str]) -> tuple[float, ...] | None:
    """Philips' private scale factor of each slice; None when it is missing or 0 in all of them."""
    tags = [header.private(*PHILIPS, element, or_without_creator=True) for header in slices]
    found = [
        header.number(tag, PRIVATE_FACTOR, CORRECT) if tag is not None and header.text(tag) else 0.0
        for header, tag in zip(slices, tags, strict=True)
    ]
    if not any(found):
        return None
    if not all(found):
        lacking = slices[found.index(0.0)]
        tag = (PHILIPS[0] << 16) + 0x1000 + element
        problem = "but not 0 in other slices" if lacking.text(tag) else "missing"
        raise lacking.refusal(tag, problem, CORRECT)
    if any(header.private(*PHILIPS, element) is None for header in slices):
        notes.append(
            f"(7053,10{element:02x}) is taken for Philips' scale factor, though the header lacks the private creator "
            f"{PHILIPS[1]!r}."
        )
    return tuple(found)


def counts_to_suv(slices: list[Header], notes: list[str]) -> tuple[float, ...] | None:
    """Philips' factor of each slice from counts to SUVbw; None when the series has none."""
    return _philips(slices, SUV_FACTOR, notes)


def counts_to_activity(slices: list[Header], notes: list[str]) -> tuple[float, ...]:
    """Philips' factor of each slice from counts to Bq/ml; raises DicomError when the series has none."""
    factors = _philips(slices, ACTIVITY_FACTOR, notes)
    if factors is None:
        raise slices[0].refusal(
            "Units",
            f"without SUV (7053,1000) or activity (7053,1009) scale factor of {PHILIPS[1]!r}",
            "send the series with its private tags, or export it in Bq/ml",
        )
    return factors


def weight_of(header: Header) -> float:
    """Patient's Weight (0010,1030), kg."""
    return header.number("PatientWeight", WEIGHT_KG, "give the patient's weight in kg")


def _size(header: Header) -> float:
    return header.number("PatientSize", SIZE_M, "give the patient's height in m, or export SUV by body weight")
