"""All annotations as CSV, out and in again."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from functools import partial

import numpy as np

from wslpet.core.errors import InputError, SeedError
from wslpet.core.seeds import NO_TUMOUR, Annotation, Withdrawal
from wslpet.io.tables import Table, guarded, parse_table, unguarded
from wslpet.server.page.annotation import AnnotationPage
from wslpet.server.page.schemas import Imported
from wslpet.server.storage.annotations.service import AnnotationRequest, Place

COLUMNS = ("image", "cancer_type", "x", "y", "z", "user", "time")
NEEDED = ("image", "cancer_type")
MAX_BYTES = 16 * 2**20
# Positions are written to a micrometre, and indices rounded to a thousandth of a voxel.
_SAME_MM = 0.1


def exported(page: AnnotationPage, history: bool) -> str:
    """The annotation that counts of each image, or all that was ever said, oldest first; x, y, z in mm RAS."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(("event", *COLUMNS) if history else COLUMNS)
    for image in sorted(page.datastore.list_images()):
        if not history:
            writer.writerows(_fields(image, seed) for seed in page.datastore.seeds.get(image)[-1:])
            continue
        for said in page.datastore.seeds.history(image):
            if isinstance(said, Withdrawal):
                writer.writerow(("withdrawn", guarded(image), "", "", "", "", guarded(said.user), guarded(said.time)))
            else:
                writer.writerow(("seed", *_fields(image, said)))
    return out.getvalue()


def imported(page: AnnotationPage, content: bytes, user: str) -> Imported:
    """Record the rows of a table that `exported` wrote, or of one with the columns `COLUMNS`.

    A row that is on record already is passed over; one that cannot be used is told, the others count. Who and when
    may be missing: then it is who imports, now.

    Raises
    ------
    InputError
        when the table cannot be read, or lacks a column.
    """
    result = Imported(recorded=0, superseded=0, known=0, refused=[])
    table = _table(content)
    for number, row in table.rows:
        image = unguarded(row["image"] or "")
        try:
            stands = bool(page.datastore.seeds.get(image))
            request = _request(page, image, row, table, user)
            known = page.annotations.check(request, partial(_same, timed=bool(row.get("time")))).known
        except (InputError, OSError) as error:
            result.refused.append(f"row {number}: {error}")
            continue
        result.known += known
        result.recorded += not known
        result.superseded += stands and not known
    return result


def _fields(image: str, seed: Annotation) -> tuple[str, ...]:
    point = ("", "", "") if seed.cancer_type == NO_TUMOUR else tuple(f"{v:.3f}" for v in seed.position)
    return (guarded(image), guarded(seed.cancer_type), *point, guarded(seed.user), guarded(seed.time))


def _table(content: bytes) -> Table:
    if len(content) > MAX_BYTES:
        raise InputError(f"the table has {len(content)} bytes, more than {MAX_BYTES}; split it")
    table = parse_table(content, "the table", NEEDED, COLUMNS)
    if "event" in table.columns:
        raise InputError("this table is a history, with what was superseded; import the table of annotations")
    return table


def _request(
    page: AnnotationPage, image: str, row: dict[str, str | None], table: Table, user: str
) -> AnnotationRequest:
    """A row as a click; who clicked may have confirmed a doubt."""
    page.datastore.image_path(image)
    cancer_type, x, y, z, who, when = (unguarded(row.get(column) or "") for column in COLUMNS[1:])
    cancer_type = page.datastore.renamed.get(cancer_type, cancer_type)
    if cancer_type not in page.settings.classes:
        raise SeedError(f"cancer type {cancer_type!r} is not one of {', '.join(page.settings.classes)}; correct it")
    position = None
    if cancer_type != NO_TUMOUR:
        try:
            position = (table.number(x), table.number(y), table.number(z))
        except ValueError:
            point = "; ".join((x, y, z))
            raise SeedError(f"seed {point!r} is not three numbers; write x, y and z in mm RAS") from None
    lesions = () if position is None else (Place(position=position),)
    return AnnotationRequest(image, cancer_type, (who or user)[:100], lesions, time=when[:40], sure=True)


def _same(history: Sequence[Annotation | Withdrawal], seed: Annotation, *, timed: bool) -> Annotation | None:
    """The record of a row in an image's history."""
    return next((said for said in history if isinstance(said, Annotation) and _is_same(said, seed, timed)), None)


def _is_same(said: Annotation, seed: Annotation, timed: bool) -> bool:
    if timed and said.time != seed.time:
        return False
    near = np.allclose(said.position, seed.position, atol=_SAME_MM)
    return near and (said.cancer_type, said.user) == (seed.cancer_type, seed.user)
