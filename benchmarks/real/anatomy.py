"""Where the phantoms' organs and lesions lie, and how large they are, beside real patients.

python -m benchmarks.real.anatomy DIR [--out FILE.png] [--people N]

DIR holds organs.csv (patient, organ, volume_ml, right_mm, anterior_mm, superior_mm, width_mm, depth_mm, height_mm) and
lesions.csv (patient, cancer_type, right_mm, anterior_mm, superior_mm); places are from the centre of the lungs. Prints
a table: medians [5th, 95th percentile] of real patients and of each preset, and how far the median is off in units of
the real patients' standard deviation (that of a normal distribution with these percentiles).
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

from wslpet.core.arrays import Array
from wslpet.data.phantom import PRESETS, CohortSettings, make_patient
from wslpet.data.phantom.lifelike.measurement import ORGANS, OrganMeasures, measure_organs
from wslpet.data.phantom.scan.plan import plan_scan

MEASURES = ("volume_ml", "right_mm", "anterior_mm", "superior_mm", "width_mm", "depth_mm", "height_mm")
# Preset → its most usual field of view, which the organs are measured in.
FIELDS = {"train-mimics": "skull-thigh", "lifelike": "brain-thigh"}
FIRST_SEED = 90_000
PERCENTILES = (5, 50, 95)
NORMAL_5_TO_95 = 3.29  # standard deviations between the 5th and the 95th percentile
Table = dict[str, Array]


def main() -> None:
    """Measure, print the table and draw the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--out", type=Path, metavar="FILE.png")
    parser.add_argument("--people", type=int, default=60)
    args = parser.parse_args()
    tables = {"real": read_organs(args.folder / "organs.csv")}
    tables |= {preset: measure_preset(preset, args.people) for preset in FIELDS}
    print("\n".join(table_lines(tables)))
    if args.out is not None:
        real = read_lesions(args.folder / "lesions.csv")
        draw(tables, real, phantom_lesions(args.people), args.out)


def read_organs(path: Path) -> Table:
    """Organ → (patient, measure)."""
    rows = defaultdict(list)
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            rows[row["organ"]].append([float(row[name]) if row[name] else np.nan for name in MEASURES])
    return {organ: np.array(rows[organ]) for organ in ORGANS}


def read_lesions(path: Path) -> dict[str, Array]:
    """Cancer type → (lesion, (right, superior)) mm from the centre of the lungs."""
    places = defaultdict(list)
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            places[row["cancer_type"]].append([float(row["right_mm"]), float(row["superior_mm"])])
    return {name: np.array(found) for name, found in places.items()}


def measure_preset(preset: str, people: int) -> Table:
    """Organ → (patient, measure) of phantoms."""
    rows = defaultdict(list)
    settings = replace(PRESETS[preset], fields=((FIELDS[preset], 1.0),))
    for seed in range(FIRST_SEED, FIRST_SEED + people):
        for organ, found in measure_organs(seed, settings).items():
            rows[organ].append(_row(found))
    return {organ: np.array(rows[organ]).reshape(-1, len(MEASURES)) for organ in ORGANS}


def phantom_lesions(people: int) -> dict[str, Array]:
    """Cancer type → (lesion, (right, superior)) mm from the centre of the lungs, ten a patient at most."""
    places = defaultdict(list)
    settings: CohortSettings = replace(PRESETS["lifelike"], fields=(("whole body", 1.0),), no_tumour_fraction=0.0)
    for seed in range(FIRST_SEED, FIRST_SEED + 4 * people):
        patient = make_patient(seed, settings, (6.0, 6.0, 6.0))
        centre = _lung_centre(seed, settings, patient.volume.affine[:3, 3])
        for lesion in patient.lesions[:10]:
            places[patient.cancer_type].append((np.array(lesion.centre) - centre)[[0, 2]])
    return {name: np.array(found) for name, found in places.items()}


def _lung_centre(seed: int, settings: CohortSettings, first_voxel: Array) -> Array:
    plan = plan_scan(seed, settings, (6.0, 6.0, 6.0))
    axes = [axis / scale for axis, scale in zip(plan.canvas.axes, plan.body.scale, strict=True)]
    x, y, z = np.meshgrid(*(axis.astype(np.float32) for axis in axes), indexing="ij", sparse=True)
    inside = np.argwhere(plan.body.lung_distance(x, y, z) < 0).mean(axis=0)
    centre: Array = (inside + plan.start) * 6.0 + first_voxel
    return centre


def _row(found: OrganMeasures) -> list[float]:
    return [found.volume_ml, *found.place_mm, *found.extent_mm]


def table_lines(tables: dict[str, Table]) -> list[str]:
    """A Markdown table: a row an organ and measure."""
    names = list(tables)
    lines = [
        "| organ | measure | " + " | ".join(names) + " | " + " | ".join(f"{n}, off by (SD)" for n in names[1:]) + " |"
    ]
    lines.append("| --- " * (1 + 2 * len(names)) + "|")
    for organ in ORGANS:
        for column, measure in enumerate(MEASURES):
            if organ == "lungs" and 1 <= column <= 3:
                continue
            low, middle, high = np.transpose([_percentiles(tables[name][organ][:, column]) for name in names])
            deviation = (high[0] - low[0]) / NORMAL_5_TO_95
            cells = [f"{m:.0f} [{a:.0f}, {b:.0f}]" for a, m, b in zip(low, middle, high, strict=True)]
            off = [f"{(m - middle[0]) / deviation:+.1f}" for m in middle[1:]]
            lines.append(f"| {organ} | {measure.replace('_', ', ')} | " + " | ".join(cells + off) + " |")
    return lines


def _percentiles(values: Array) -> Array:
    return np.nanpercentile(values, PERCENTILES) if len(values) else np.full(3, np.nan)


def draw(tables: dict[str, Table], real: dict[str, Array], phantom: dict[str, Array], path: Path) -> None:
    """Above, the organs in the coronal plane; below, the lesions of each cancer type."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.patches import Ellipse

    figure, axes = pyplot.subplots(2, 3, figsize=(11, 10.5), layout="constrained")
    colours = pyplot.get_cmap("tab10")
    titles = {
        "real": "457 real patients",
        "train-mimics": "phantoms before (train-mimics)",
        "lifelike": "phantoms now (lifelike)",
    }
    for axis, (name, table) in zip(axes[0], tables.items(), strict=True):
        for number, organ in enumerate(ORGANS):
            if not len(table[organ]):
                continue
            _, x, _, z, width, _, height = np.nanmedian(table[organ], axis=0)
            axis.add_patch(Ellipse((-x, z), width, height, fill=False, edgecolor=colours(number), linewidth=1.6))
            axis.text(-x, z, organ.replace("_", " "), ha="center", va="center", fontsize=7, color=colours(number))
        axis.set(title=titles[name], xlim=(-220, 220), ylim=(-520, 420), aspect="equal")
    for axis, name in zip(axes[1], ("lung", "lymphoma", "melanoma"), strict=True):
        for places, colour, label in ((real[name], "black", "real"), (phantom[name], "tab:red", "phantom")):
            axis.scatter(
                -places[:, 0], places[:, 1], s=5, alpha=0.6, color=colour, label=f"{label}, {len(places)} lesions"
            )
        axis.set(title=f"lesions: {name}", xlim=(-260, 260), ylim=(-1000, 420))
        axis.legend(loc="lower left", fontsize=7)
    figure.supylabel("mm above the centre of the lungs")
    figure.supxlabel("mm to the patient's left of the centre of the lungs")
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    main()
