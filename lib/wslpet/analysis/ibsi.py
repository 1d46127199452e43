"""Compare the features with the reference values of IBSI-1's digital phantom: `python -m wslpet.analysis.ibsi DIR`."""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from wslpet.analysis.radiomics import Feature, catalogue, radiomics
from wslpet.io.masks import read_mask
from wslpet.io.readers import decoded

# Features in ml, for which IBSI's values are in mm³.
IN_ML = ("volume_ml", "tlg")


@dataclass(frozen=True)
class Comparison:
    """A feature of the phantom: the value of this package, IBSI's reference value and its tolerance."""

    feature: Feature
    value: float
    reference: float
    tolerance: float

    @property
    def agrees(self) -> bool:
        """Whether the value is within the tolerance that IBSI publishes for it."""
        return abs(self.value - self.reference) <= self.tolerance * (1 + 1e-9)


def compare(folder: Path) -> list[Comparison]:
    """Compare every feature that has a reference value.

    Parameters
    ----------
    folder : with image.nii.gz, mask.nii.gz and reference_values.csv (value;tolerance;tag) of the IBSI data sets.
    """
    volume, mask = decoded(folder / "image.nii.gz"), read_mask(folder / "mask.nii.gz")
    # The phantom is defined on its own voxels, in whole grey levels: no resampling, bins of 1.
    measured = radiomics(volume, mask.array > 0, binWidth=1.0, resampledPixelSpacing=None)
    references = _references(folder / "reference_values.csv")
    return [
        Comparison(feature, measured[name] * (1000.0 if name in IN_ML else 1.0), *references[feature.reference])
        for name, feature in catalogue().items()
        if feature.reference in references
    ]


def table(comparisons: Iterable[Comparison]) -> str:
    """Format the comparison as a Markdown table."""
    lines = ["| feature | IBSI | ours | reference | tolerance | |", "| --- | --- | --- | --- | --- | --- |"]
    for one in comparisons:
        verdict = "" if one.agrees else f"**deviates**: {one.feature.deviation}"
        if one.agrees and one.feature.deviation:
            verdict = f"within, but: {one.feature.deviation}"
        lines.append(
            f"| {one.feature.name} | {one.feature.ibsi} | {one.value:.4g} | {one.reference:.4g} | "
            f"{one.tolerance:.2g} | {verdict} |"
        )
    return "\n".join(lines)


def _references(path: Path) -> dict[str, tuple[float, float]]:
    with open(path, newline="", encoding="utf-8-sig") as file:
        rows = [row for row in csv.DictReader(file, delimiter=";") if row["reference value"]]
    # Reference values have three digits; with a tolerance of 0 all three must be equal.
    values = {row["tag"]: (float(row["reference value"]), float(row["tolerance"])) for row in rows}
    return {tag: (value, max(tolerance, _rounding(value))) for tag, (value, tolerance) in values.items()}


def _rounding(value: float) -> float:
    """Return half a unit of the third significant digit."""
    return 0.5 * 10.0 ** (math.floor(math.log10(abs(value))) - 2) if value else 0.0


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="with image.nii.gz, mask.nii.gz and reference_values.csv")
    print(table(compare(parser.parse_args().folder)))


if __name__ == "__main__":
    main()
