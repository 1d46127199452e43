"""Blind readings of one patient by several readers, and the consensus of a reviewer.

With one reader per patient, the default, no reading is hidden. With more, the readings of a patient are hidden from a
reader until this reader has recorded one. All readings are visible once the required number, or a consensus, is
recorded. Training and tables use the consensus or, without one, the newest reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wslpet.core.seeds import Annotation
from wslpet.data.log_records import LogRecord, Remark
from wslpet.server.errors import Conflict, quoted
from wslpet.server.storage.annotations.seed_log import SeedLog


def same_reader(one: str, other: str) -> bool:
    """Whether two names are those of one reader; upper case and repeated blanks are ignored."""
    return reader_key(one) == reader_key(other)


def reader_key(name: str) -> str:
    """Normalise a reader's name: lower case, single blanks."""
    return " ".join(name.split()).casefold()


@dataclass(frozen=True)
class ImageReadings:
    """Readings of one image that are valid.

    Parameters
    ----------
    needed : number of readers per patient.
    readings : the newest reading of each reader, in the order of the readers' first readings.
    consensus : consensus of a reviewer, or None.
    """

    needed: int
    readings: tuple[Annotation, ...] = ()
    consensus: Annotation | None = None

    @property
    def complete(self) -> bool:
        """Whether all readings are recorded, or there is a consensus, so that nothing is hidden any more."""
        return self.consensus is not None or len(self.readings) >= self.needed

    @property
    def to_review(self) -> bool:
        """Whether all readings are recorded, and a consensus is still missing."""
        return self.needed > 1 and self.complete and self.consensus is None

    def of(self, reader: str) -> Annotation | None:
        """Return the reading of a reader, or None."""
        return next((said for said in self.readings if same_reader(said.user, reader)), None)

    def hidden_from(self, reader: str) -> bool:
        """Whether the others' readings are hidden from a reader, given by name; never from "", which is no reader."""
        if self.needed == 1 or not reader or self.complete or not self.readings:
            return False
        return self.of(reader) is None


class Readings:
    """Readings of all images.

    Parameters
    ----------
    log : the log of annotations.
    needed : number of readers per patient; with 1, readings are not blind.
    """

    def __init__(self, log: SeedLog, needed: int = 1) -> None:
        self._log = log
        self.needed = needed

    @property
    def blind(self) -> bool:
        """Whether each patient is read by several readers."""
        return self.needed > 1

    def of(self, image_id: str) -> ImageReadings:
        """Return the valid readings of an image."""
        return self._sorted_out(self._log.get(image_id))

    def waits_for(self, image_id: str, reader: str) -> bool:
        """Whether an image is still to be read by a reader, given by name; with "", by any reader."""
        here = self.of(image_id)
        return not here.complete and (not reader or here.of(reader) is None)

    def history(self, image_id: str, reader: str) -> list[LogRecord]:
        """Return the records of an image that a reader may see, newest last: all, or the reader's own."""
        said = self._log.history(image_id)
        if not self.of(image_id).hidden_from(reader):
            return said
        return [one for one in said if same_reader(one.user, reader)]

    def remarks(self, image_id: str, reader: str) -> list[Remark]:
        """Return the newest remark of each reader, without empty ones, as far as the reader may see them."""
        newest = {reader_key(one.user): one for one in self.history(image_id, reader) if isinstance(one, Remark)}
        return [one for one in newest.values() if one.flag or one.unsure or one.comment]

    def known_before(self, image_id: str, reader: str, review: bool = False) -> list[Annotation]:
        """Return the annotations that a new one may continue, newest last: the reader's own, or all for a reviewer."""
        standing = self._log.get(image_id)
        if not self.blind or review:
            return standing
        return [said for said in standing if not said.review and same_reader(said.user, reader)]

    def check_open(self, image_id: str, reader: str) -> None:
        """Raise Conflict if an image's readings are hidden from a reader; "" is an unknown reader, also blind."""
        here = self.of(image_id)
        if here.hidden_from(reader) or (not reader and self.blind and here.readings and not here.complete):
            raise Conflict(
                f"{quoted(image_id)} was read by another reader, whose marks are hidden until {here.needed} readers "
                "have read it; record your reading first"
            )

    def _sorted_out(self, standing: Sequence[Annotation]) -> ImageReadings:
        newest: dict[str, Annotation] = {}
        for said in standing:
            if not said.review:
                newest[reader_key(said.user)] = said
        consensus = standing[-1] if standing and standing[-1].review else None
        return ImageReadings(self.needed, tuple(newest.values()), consensus)
