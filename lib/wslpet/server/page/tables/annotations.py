"""All annotations as CSV, out and in again."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from wslpet.core.errors import InputError, SeedError
from wslpet.core.seeds import BACKGROUND, NO_TUMOUR, OURS, Annotation, ContourChoice
from wslpet.data.log_records import LogRecord, Remark
from wslpet.io.tables import BYTE_ORDER_MARK, Table, decimals, guarded, parse_table, unguarded
from wslpet.server.page.annotation import AnnotationPage
from wslpet.server.page.schemas.annotations import Imported
from wslpet.server.storage.annotations.requests import AnnotationRequest, Place

COLUMNS = ("image", "cancer_type", "x", "y", "z", "user", "time", "lesion", "contour", "step")
NEEDED = ("image", "cancer_type")
_Row = dict[str, str | None]
MAX_BYTES = 16 * 2**20
# Positions are written to a micrometre, and indices rounded to a thousandth of a voxel.
_SAME_MM = 0.1


def exported(page: AnnotationPage, history: bool, reader: str = "", separator: str = ",") -> str:
    """The annotation that counts of each image, or all that was ever said, oldest first; x, y, z in mm RAS.

    A row a seed: `lesion` numbers them from 1, the primary, and is "background" of places that are no lesion. A row of
    the history is a "seed" of a reading, one of a "consensus", a remark ("note"; flag, unsure and comment), or
    "withdrawn". `reader` is who asks: what is hidden from this one is left out. With a semicolon as `separator`,
    numbers have a decimal comma, and a byte-order mark stands first.
    """
    readings = page.datastore.readings
    out = io.StringIO()
    if separator == ";":
        out.write(BYTE_ORDER_MARK)
    writer = csv.writer(out, delimiter=separator, lineterminator="\r\n")
    writer.writerow(("event", *COLUMNS, "note") if history else COLUMNS)
    for image in sorted(page.datastore.list_images()):
        if not history:
            hidden = readings.of(image).hidden_from(reader)
            counts = [] if hidden else page.datastore.seeds.get(image)[-1:]
            writer.writerows(row for said in counts for row in _rows(image, said, separator))
            continue
        for said in readings.history(image, reader):
            if isinstance(said, Annotation):
                event = "consensus" if said.review else "seed"
                writer.writerows((event, *row, "") for row in _rows(image, said, separator))
                continue
            who = (guarded(said.user), guarded(said.time))
            event, note = ("note", _noted(said)) if isinstance(said, Remark) else ("withdrawn", "")
            writer.writerow((event, guarded(image), "", "", "", "", *who, "", "", "", note))
    return out.getvalue()


def imported(page: AnnotationPage, content: bytes, user: str) -> Imported:
    """Record the rows of a table that `exported` wrote, or of one with the columns `COLUMNS`.

    Rows of lesions 2 and on, and of background, belong to the row of lesion 1, or without a number, before them. An
    annotation that is on record already is passed over; one that cannot be used is told, the others count. Who and
    when may be missing: then it is who imports, now.

    Raises
    ------
    InputError
        when the table cannot be read, or lacks a column.
    """
    result = Imported(recorded=0, superseded=0, known=0, refused=[])
    table = _table(content)
    for number, rows in _annotations(table):
        image = unguarded(rows[0]["image"] or "")
        try:
            stands = bool(page.datastore.seeds.get(image))
            request = _request(page, image, rows, table, user)
            known = page.annotations.check(request, partial(_same, timed=bool(rows[0].get("time")))).known
        except (InputError, OSError) as error:
            result.refused.append(f"row {number}: {error}")
            continue
        result.known += known
        result.recorded += not known
        result.superseded += stands and not known
    return result


def _noted(remark: Remark) -> str:
    said = [word for word, is_said in (("flag", remark.flag), ("unsure", remark.unsure)) if is_said]
    return guarded("; ".join([*said, remark.comment] if remark.comment else said))


def _rows(image: str, said: Annotation, separator: str) -> Iterator[tuple[str, ...]]:
    who = (guarded(said.user), guarded(said.time))
    for number, seed in enumerate((*said.seeds, *said.background), start=1):
        nowhere = said.cancer_type == NO_TUMOUR
        point = ("", "", "") if nowhere else tuple(decimals(f"{v:.3f}", separator) for v in seed.position)
        lesion = seed.cancer_type if seed.cancer_type == BACKGROUND else "" if nowhere else str(number)
        contour = (seed.contour.method, str(seed.contour.step)) if lesion.isdigit() else ("", "")
        yield (guarded(image), guarded(said.cancer_type), *point, *who, lesion, *contour)


def _annotations(table: Table) -> Iterator[tuple[int, list[_Row]]]:
    """The rows of each annotation, with the number of the first."""
    rows: list[_Row] = []
    start = 0
    for number, row in table.rows:
        lesion = unguarded(row.get("lesion") or "").strip()
        if rows and lesion not in ("", "1") and row["image"] == rows[0]["image"]:
            rows.append(row)
            continue
        if rows:
            yield start, rows
        rows, start = [row], number
    if rows:
        yield start, rows


def _table(content: bytes) -> Table:
    if len(content) > MAX_BYTES:
        raise InputError(f"the table has {len(content)} bytes, more than {MAX_BYTES}; split it")
    table = parse_table(content, "the table", NEEDED, COLUMNS)
    if "event" in table.columns:
        raise InputError("this table is a history, with what was superseded; import the table of annotations")
    return table


def _request(page: AnnotationPage, image: str, rows: list[_Row], table: Table, user: str) -> AnnotationRequest:
    """The rows of an annotation as a request; who clicked may have confirmed a doubt."""
    page.datastore.image_path(image)
    cancer_type, who, when = (unguarded(rows[0].get(column) or "") for column in ("cancer_type", "user", "time"))
    cancer_type = page.datastore.renamed.get(cancer_type, cancer_type)
    if cancer_type not in page.settings.classes:
        raise SeedError(f"cancer type {cancer_type!r} is not one of {', '.join(page.settings.classes)}; correct it")
    lesions: list[Place] = []
    background: list[Place] = []
    for row in rows if cancer_type != NO_TUMOUR else ():
        place = _place(row, table)
        is_lesion = unguarded(row.get("lesion") or "").strip() != BACKGROUND
        (lesions if is_lesion else background).append(place)
    return AnnotationRequest(
        image, cancer_type, (who or user)[:100], tuple(lesions), tuple(background), time=when[:40], sure=True
    )


def _place(row: _Row, table: Table) -> Place:
    x, y, z, contour, step = (unguarded(row.get(column) or "") for column in ("x", "y", "z", "contour", "step"))
    try:
        position = (table.number(x), table.number(y), table.number(z))
    except ValueError:
        point = "; ".join((x, y, z))
        raise SeedError(f"seed {point!r} is not three numbers; write x, y and z in mm RAS") from None
    if not (step or "0").lstrip("+-").isdigit():
        raise SeedError(f"step {step!r} of a contour is not a whole number; write 0 for the contour itself")
    return Place(position=position, contour=ContourChoice(contour or OURS, int(step or 0)))


def _same(history: Sequence[LogRecord], seed: Annotation, *, timed: bool) -> Annotation | None:
    """The record of a row in an image's history."""
    return next((said for said in history if isinstance(said, Annotation) and _is_same(said, seed, timed)), None)


def _is_same(said: Annotation, seed: Annotation, timed: bool) -> bool:
    if timed and said.time != seed.time:
        return False
    pairs = [(said.seeds, seed.seeds), (said.background, seed.background)]
    if any(len(one) != len(other) for one, other in pairs):
        return False
    one, other = ([s.position for s in (*each.seeds, *each.background)] for each in (said, seed))
    contours = [[s.contour for s in each.seeds] for each in (said, seed)]
    same = contours[0] == contours[1] and (said.cancer_type, said.user) == (seed.cancer_type, seed.user)
    return same and bool(np.allclose(one, other, atol=_SAME_MM))
