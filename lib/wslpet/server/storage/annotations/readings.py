"""Readings of one patient by several readers, each blind to the others, and the consensus of a reviewer.

With one reader per patient, the default, nobody is blind. With more, the readings of a patient are hidden from a reader
until that reader has recorded one, and open to all once there are as many as are needed, or a consensus. What counts,
for training and tables, is the consensus; without one, the newest reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wslpet.core.seeds import Annotation
from wslpet.data.log_records import LogRecord, Remark
from wslpet.server.errors import Conflict, quoted
from wslpet.server.storage.annotations.seed_log import SeedLog


def same_reader(one: str, other: str) -> bool:
    """Whether two names are one reader's: blanks and capitals do not count."""
    return reader_key(one) == reader_key(other)


def reader_key(name: str) -> str:
    """A name without what does not tell readers apart."""
    return " ".join(name.split()).casefold()


@dataclass(frozen=True)
class ImageReadings:
    """What stands of one image.

    Parameters
    ----------
    needed : readers per patient.
    readings : the newest of each reader, in the order in which the readers came.
    consensus : of a reviewer; None as long as there is none.
    """

    needed: int
    readings: tuple[Annotation, ...] = ()
    consensus: Annotation | None = None

    @property
    def complete(self) -> bool:
        """Whether nobody has to be blind any more."""
        return self.consensus is not None or len(self.readings) >= self.needed

    @property
    def to_review(self) -> bool:
        """Whether all readings are there, and no consensus."""
        return self.needed > 1 and self.complete and self.consensus is None

    def of(self, reader: str) -> Annotation | None:
        """The reading of a reader."""
        return next((said for said in self.readings if same_reader(said.user, reader)), None)

    def hidden_from(self, reader: str) -> bool:
        """Whether a reader, by name, must not see what others said; "" is nobody who reads."""
        if self.needed == 1 or not reader or self.complete or not self.readings:
            return False
        return self.of(reader) is None


class Readings:
    """Who has read what.

    Parameters
    ----------
    log : of the annotations.
    needed : readers per patient; 1 is no blind reading.
    """

    def __init__(self, log: SeedLog, needed: int = 1) -> None:
        self._log = log
        self.needed = needed

    @property
    def blind(self) -> bool:
        """Whether a patient is read by several readers."""
        return self.needed > 1

    def of(self, image_id: str) -> ImageReadings:
        """What stands of an image."""
        return self._sorted_out(self._log.get(image_id))

    def waits_for(self, image_id: str, reader: str) -> bool:
        """Whether a reader, by name, is to read an image; "" is any reader who has not read it yet."""
        here = self.of(image_id)
        return not here.complete and (not reader or here.of(reader) is None)

    def history(self, image_id: str, reader: str) -> list[LogRecord]:
        """What a reader may see of the history of an image, newest last: all, or only the reader's own."""
        said = self._log.history(image_id)
        if not self.of(image_id).hidden_from(reader):
            return said
        return [one for one in said if same_reader(one.user, reader)]

    def remarks(self, image_id: str, reader: str) -> list[Remark]:
        """The newest remark of each reader that says something, as far as a reader may see it."""
        newest = {reader_key(one.user): one for one in self.history(image_id, reader) if isinstance(one, Remark)}
        return [one for one in newest.values() if one.flag or one.unsure or one.comment]

    def known_before(self, image_id: str, reader: str, review: bool = False) -> list[Annotation]:
        """Annotations, newest last, that a reader's new one goes on from: the reader's own; all, of a reviewer."""
        standing = self._log.get(image_id)
        if not self.blind or review:
            return standing
        return [said for said in standing if not said.review and same_reader(said.user, reader)]

    def check_open(self, image_id: str, reader: str) -> None:
        """Raise Conflict when an image's readings are hidden from a reader; "" is anybody: all are blind."""
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
