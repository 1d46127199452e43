"""Normalisations of SUV other than body weight: lean body mass, ideal weight, surface area (PS3.16 CID 85)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wslpet.io.dicom.headers import Limits

WEIGHT_KG: Limits = (1.0, 700.0)
SIZE_M: Limits = (0.3, 2.6)
# Plausible range of a body size measure, as a share of the body weight.
MEASURE_SHARE: Limits = (0.05, 5.0)


@dataclass(frozen=True)
class BodyMeasure:
    """Body size measure by weight (kg), height (m) and sex, by which SUV is normalised.

    Parameters
    ----------
    name : for notes and errors.
    units : Units (0054,1001) of SUV normalised by it: GML or CM2ML.
    men, women : (weight in kg, height in cm) → kg, or 1000 cm² for CM2ML: SUV times weight / measure is SUVbw.
    """

    name: str
    units: str
    men: Callable[[float, float], float]
    women: Callable[[float, float], float]

    def value(self, weight_kg: float, size_m: float, sex: str) -> float:
        """Measure by the formula for the sex, M or F; the mean of both for O (other)."""
        men, women = self.men(weight_kg, 100 * size_m), self.women(weight_kg, 100 * size_m)
        return {"M": men, "F": women}.get(sex, (men + women) / 2)


def _bmi(weight_kg: float, size_cm: float) -> float:
    return weight_kg / (size_cm / 100) ** 2


def _du_bois(weight_kg: float, size_cm: float) -> float:
    """Body surface area in 1000 cm², by Du Bois and Du Bois 1916."""
    return float(71.84 * weight_kg**0.425 * size_cm**0.725 / 1000)


# SUV Type (0054,1006) → its measure. "LBM" alone is not accepted: formulas for it differ by up to a fifth.
MEASURES = {
    "LBMJAMES128": BodyMeasure(
        "lean body mass (James)",
        "GML",
        lambda weight, size: 1.10 * weight - 128 * (weight / size) ** 2,
        lambda weight, size: 1.07 * weight - 148 * (weight / size) ** 2,
    ),
    "LBMJANMA": BodyMeasure(
        "lean body mass (Janmahasatian)",
        "GML",
        lambda weight, size: 9270 * weight / (6680 + 216 * _bmi(weight, size)),
        lambda weight, size: 9270 * weight / (8780 + 244 * _bmi(weight, size)),
    ),
    "IBW": BodyMeasure(
        "ideal body weight",
        "GML",
        lambda weight, size: 48.0 + 1.06 * (size - 152),
        lambda weight, size: 45.5 + 0.91 * (size - 152),
    ),
    "BSA": BodyMeasure("body surface area (Du Bois)", "CM2ML", _du_bois, _du_bois),
}
