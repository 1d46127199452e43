"""All annotations as CSV, out and in again."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np

from wslpet.core.errors import InputError, SeedError
from wslpet.core.seeds import NO_TUMOUR, Seed, Withdrawal
from wslpet.server.page.annotation import Desk
from wslpet.server.page.schemas import Imported
from wslpet.server.storage.clicks import place

COLUMNS = ("image", "cancer_type", "x", "y", "z", "user", "time")
NEEDED = ("image", "cancer_type")
MAX_BYTES = 16 * 2**20
# Positions are written to a micrometre, and indices rounded to a thousandth of a voxel.
_SAME_MM = 0.1


def exported(desk: Desk, history: bool) -> str:
    """The annotation that counts of each image, or all that was ever said, oldest first; x, y, z in mm RAS."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(("event", *COLUMNS) if history else COLUMNS)
    for image in sorted(desk.datastore.list_images()):
        if not history:
            writer.writerows(_fields(image, seed) for seed in desk.datastore.seeds.of(image)[-1:])
            continue
        for said in desk.datastore.seeds.history(image):
            if isinstance(said, Withdrawal):
                writer.writerow(("withdrawn", image, "", "", "", "", said.user, said.time))
            else:
                writer.writerow(("seed", *_fields(image, said)))
    return out.getvalue()


def imported(desk: Desk, content: bytes, user: str) -> Imported:
    """Record the rows of a table that `exported` wrote, or of one with the columns `COLUMNS`.

    A row that is on record already is passed over; one that cannot be used is told, the others count. Who and when
    may be missing: then it is who imports, now.

    Raises
    ------
    InputError
        when the table cannot be read, or lacks a column.
    """
    result = Imported(recorded=0, superseded=0, known=0, refused=[])
    for number, row in _rows(content):
        image = (row["image"] or "").strip()
        try:
            desk.datastore.image_path(image)
            seed = _seed(desk, image, row, user)
        except (InputError, OSError) as error:
            result.refused.append(f"row {number}: {error}")
            continue
        if any(_is_same(said, seed, bool(row.get("time"))) for said in desk.datastore.seeds.history(image)):
            result.known += 1
            continue
        result.superseded += bool(desk.datastore.seeds.of(image))
        desk.datastore.record_seed(image, seed)
        result.recorded += 1
    return result


def _fields(image: str, seed: Seed) -> tuple[str, ...]:
    point = ("", "", "") if seed.cancer_type == NO_TUMOUR else tuple(f"{v:.3f}" for v in seed.position)
    return (image, seed.cancer_type, *point, seed.user, seed.time)


def _rows(content: bytes) -> list[tuple[int, dict[str, str | None]]]:
    if len(content) > MAX_BYTES:
        raise InputError(f"the table has {len(content)} bytes, more than {MAX_BYTES}; split it")
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        missing = [column for column in NEEDED if column not in (reader.fieldnames or [])]
        if missing:
            raise InputError(f"the table lacks the column {missing[0]}; it needs {','.join(COLUMNS)}")
        rows = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"the table cannot be read as CSV ({error}); save it as comma-separated UTF-8") from error
    if "event" in (reader.fieldnames or []):
        raise InputError("this table is a history, with what was superseded; import the table of annotations")
    if not rows:
        raise InputError("the table has no rows; write one for each annotated image")
    return rows


def _seed(desk: Desk, image: str, row: dict[str, str | None], user: str) -> Seed:
    cancer_type, x, y, z, who, when = ((row.get(column) or "").strip() for column in COLUMNS[1:])
    if cancer_type not in desk.settings.classes:
        raise SeedError(f"cancer type {cancer_type!r} is not one of {', '.join(desk.settings.classes)}; correct it")
    volume = desk.datastore.volume(image)
    if cancer_type == NO_TUMOUR:
        index = (np.array(volume.shape) - 1) / 2
    else:
        try:
            index = volume.to_index(np.array([float(x), float(y), float(z)]))
        except ValueError:
            raise SeedError(f"seed {x},{y},{z} is not three numbers; write x,y,z in mm RAS") from None
    seed = place((cancer_type, np.round(index, 3).tolist()), volume, (who or user)[:100])
    return replace(seed, time=when[:40]) if when else seed


def _is_same(said: Seed | Withdrawal, seed: Seed, timed: bool) -> bool:
    if not isinstance(said, Seed) or (timed and said.time != seed.time):
        return False
    near = np.allclose(said.position, seed.position, atol=_SAME_MM)
    return near and (said.cancer_type, said.user) == (seed.cancer_type, seed.user)
