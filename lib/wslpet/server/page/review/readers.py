"""What several readers mean for the cohort: progress, what a row says of them, columns of the table of patients."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import numpy as np

from wslpet.analysis.burden.readers import PairAgreement
from wslpet.analysis.burden.tables import DIGITS
from wslpet.data.log_records import Remark
from wslpet.io.tables import guarded
from wslpet.server.storage.annotations.readings import ImageReadings
from wslpet.server.storage.datastore import SeededDatastore

# Readers agree on the place as long as they agree on more than half of the voxels.
LEAST_DICE = 0.5
READER_COLUMNS = (
    "readers_needed",
    "readers",
    "counts",
    "readers_types_agree",
    "readers_lesions_matched",
    "readers_dice",
    "readers_tmtv_difference_ml",
    "flagged_by",
    "unsure",
    "comments",
)
# Those of free text.
READER_TEXTS = frozenset({"readers", "counts", "flagged_by", "unsure", "comments"})


def progress(store: SeededDatastore, images: Collection[str], reader: str) -> dict[str, int]:
    """Of several readers: images that this one has read, that all have, and that have a consensus; else nothing."""
    if not store.readings.blind:
        return {}
    states = [store.readings.of(image) for image in images]
    return {
        "read": sum(here.of(reader) is not None for here in states) if reader else 0,
        "complete": sum(here.complete for here in states),
        "reviewed": sum(here.consensus is not None for here in states),
    }


def of_row(here: ImageReadings, remarks: Iterable[Remark], pairs: list[PairAgreement], reader: str) -> dict[str, Any]:
    """Fields of `CohortRow` about readers and remarks, as far as a reader may see them."""
    remarks = list(remarks)
    may_know = here.needed > 1 and not here.hidden_from(reader)
    return {
        "readers": [said.user for said in here.readings] if may_know else [],
        "dice": min((pair.dice for pair in pairs), default=None) if may_know else None,
        "differs": differs(pairs) if may_know else "",
        "flagged": any(remark.flag for remark in remarks),
        "unsure": any(remark.unsure for remark in remarks),
        "comments": [f"{remark.user}: {remark.comment}" for remark in remarks if remark.comment],
    }


def differs(pairs: Iterable[PairAgreement]) -> str:
    """In words, how two readers differ most; empty when all agree."""
    for pair in pairs:
        (one, other), (first, second) = pair.readers, pair.types
        if not pair.type_agrees:
            return f"readers: {one} says {first}, {other} {second}"
    for pair in pairs:
        (one, other), (first_n, second_n) = pair.readers, pair.lesions
        if pair.matched < max(pair.lesions) or pair.dice < LEAST_DICE:
            found = f"{one} {first_n} lesions, {other} {second_n}, {pair.matched} matched"
            return f"readers: {found}, Dice {pair.dice:.2f}"
    return ""


def counts(here: ImageReadings) -> str:
    """What counts of an image: whose reading, or the consensus."""
    if here.consensus is not None:
        return "consensus"
    return "newest reading" if here.readings else ""


def reader_cells(here: ImageReadings, remarks: Iterable[Remark], pairs: list[PairAgreement]) -> dict[str, str]:
    """`READER_COLUMNS` → text. Of more than two readers: the mean Dice and difference, the fewest matched lesions."""
    remarks = list(remarks)
    known = bool(pairs)

    def names(chosen: Iterable[Remark]) -> str:
        return guarded("; ".join(remark.user for remark in chosen))

    return {
        "readers_needed": str(here.needed),
        "readers": guarded("; ".join(said.user for said in here.readings)),
        "counts": counts(here),
        "readers_types_agree": str(all(pair.type_agrees for pair in pairs)).lower() if known else "",
        "readers_lesions_matched": str(min(pair.matched for pair in pairs)) if known else "",
        "readers_dice": _mean(pair.dice for pair in pairs),
        "readers_tmtv_difference_ml": _mean(pair.tmtv_difference_ml for pair in pairs),
        "flagged_by": names(remark for remark in remarks if remark.flag),
        "unsure": names(remark for remark in remarks if remark.unsure),
        "comments": guarded("; ".join(f"{remark.user}: {remark.comment}" for remark in remarks if remark.comment)),
    }


def _mean(values: Iterator[float]) -> str:
    found = list(values)
    return f"{float(np.mean(found)):.{DIGITS}g}" if found else ""
