"""Options, results and parsing shared by the importers."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from wslpet.analysis.uptake import central_voxel
from wslpet.core.errors import InputError
from wslpet.core.volume import Volume
from wslpet.data.cohort_table import Row
from wslpet.io.tables import parse_table

# SD per axis of the distance of a simulated click from the lesion's centre, as of annotators.
CLICK_SD_MM = 4.0

_NUMBER = re.compile(r"[+-]?\d+(?:[.,]\d+)?", re.ASCII)


@dataclass(frozen=True)
class Options:
    """Options of an importer.

    Parameters
    ----------
    cancer_type : cancer type of all patients, if the data set does not give it.
    jitter_mm : SD per axis of a click that is simulated in a mask.
    horizon_days : time after which the outcome is taken; three years.
    masks : folder for masks that are written.
    roi : name of the lesion's contour in an RTSTRUCT.
    renamed : former name of a cancer type → its present name, for seeds with the former name.
    """

    cancer_type: str | None = None
    jitter_mm: float = CLICK_SD_MM
    horizon_days: float = 3 * 365.25
    masks: Path = Path("masks")
    roi: str | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Imported:
    """Imported rows, and one message for each patient that cannot be used, with row or folder and the remedy."""

    rows: list[Row] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def click_in(mask: Volume, name: str, jitter_mm: float) -> tuple[float, float, float]:
    """Simulate a click on the lesion of a mask, mm RAS: the lesion's centre with a random error, inside the lesion.

    The click depends on the mask and the name only.

    Raises
    ------
    InputError
        if the mask is empty.
    """
    inside = mask.array > 0
    if not inside.any():
        raise InputError(f"the mask of {name} is empty; outline the tumour, or say that there is none")
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    miss = np.random.default_rng(seed).normal(0.0, jitter_mm, 3)
    wanted = mask.to_world(central_voxel(inside, mask.spacing)) + miss
    places = mask.to_world(np.argwhere(inside))
    x, y, z = places[np.linalg.norm(places - wanted, axis=1).argmin()].tolist()
    return x, y, z


def read_csv(path: Path, columns: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    """Read a CSV as (row number, record). Raises InputError if it cannot be read or lacks one of the columns."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error}); give the table as it is published") from error
    table = parse_table(content, path.name, columns, columns)
    return [(line, {name: cell or "" for name, cell in row.items()}) for line, row in table.rows]


def number(text: str) -> float:
    """Return the number at the start of a text: 62 for "062Y", 62.5 for "62,5"; NaN if there is none."""
    found = _NUMBER.match(text.strip())
    return math.nan if found is None else float(found[0].replace(",", "."))


def male(text: str) -> float:
    """Encode sex: 1 for male, 0 for female, NaN if unknown."""
    return {"m": 1.0, "f": 0.0}.get(text.strip()[:1].lower(), math.nan)
