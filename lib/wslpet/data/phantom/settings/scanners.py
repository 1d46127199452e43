"""Scanners with their usual reconstruction: point spread, noise and voxel size."""

from __future__ import annotations

from dataclasses import dataclass, replace

Range = tuple[float, float]


@dataclass(frozen=True)
class Scanner:
    """A scanner with its usual reconstruction.

    Parameters
    ----------
    voxel_mm : (x, y, z) voxel size.
    fwhm_mm : range of the effective point spread, FWHM in mm (5–7 for clinical reconstructions).
    liver_cov : range of the coefficient of variation in the liver; EARL asks for < 0.15, the rest is ours.
    field_mm : transaxial field of view.
    """

    name: str
    voxel_mm: tuple[float, float, float]
    fwhm_mm: Range = (5.0, 7.0)
    liver_cov: Range = (0.07, 0.15)
    field_mm: float = 520.0


PAPER = Scanner("4.06x4.06x2", (4.06, 4.06, 2.0))
MANY_SCANNERS = (
    (PAPER, 0.30),
    (Scanner("4.69x4.69x3.27", (4.6875, 4.6875, 3.27), (5.5, 7.5), (0.10, 0.21), 600.0), 0.20),
    (Scanner("2.73x2.73x3.27", (2.734, 2.734, 3.27), (4.8, 6.5), (0.08, 0.17), 700.0), 0.15),
    (Scanner("5.3x5.3x2", (5.3, 5.3, 2.0), (6.0, 7.5), (0.06, 0.14), 680.0), 0.12),
    (Scanner("4.07x4.07x5", (4.07, 4.07, 5.0), (5.5, 7.5), (0.07, 0.16), 684.0), 0.20),
    (Scanner("2.04x2.04x2", (2.04, 2.04, 2.0), (4.5, 5.5), (0.08, 0.18), 520.0), 0.03),
)
TRAINING_SCANNERS = (
    (Scanner("4x4x3", (4.0, 4.0, 3.0), (4.8, 7.2), (0.05, 0.16), 576.0), 0.30),
    (Scanner("4.06x4.06x2", (4.06, 4.06, 2.0), (5.0, 7.0), (0.05, 0.15), 520.0), 0.20),
    (Scanner("5.47x5.47x3.27", (5.47, 5.47, 3.27), (5.5, 8.0), (0.06, 0.16), 700.0), 0.25),
    (Scanner("4.07x4.07x5", (4.07, 4.07, 5.0), (5.5, 8.0), (0.06, 0.17), 684.0), 0.20),
    (Scanner("3.18x3.18x3", (3.18, 3.18, 3.0), (4.6, 6.5), (0.07, 0.18), 610.0), 0.05),
)
LIFELIKE_SCANNERS = tuple(
    (replace(scanner, fwhm_mm=(4.5, 8.5), liver_cov=(0.07, 0.34)), weight) for scanner, weight in TRAINING_SCANNERS
)
