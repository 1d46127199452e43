"""All patients at a glance: what is annotated, what the weights make of it, what cannot be read and why."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping

from wslpet.core import seeds
from wslpet.core.errors import InputError
from wslpet.io.cache.disk_cache import DiskCache
from wslpet.server.page.annotation import AnnotationPage
from wslpet.server.page.cohort.rows import CohortRows, Version
from wslpet.server.page.cohort.thumbnails import drawn, marked
from wslpet.server.page.review.agreement import ReaderAgreement
from wslpet.server.page.schemas.cohort import Cohort, LeftOut
from wslpet.server.page.tables.burden import CohortBurden

logger = logging.getLogger(__name__)

# Which version of an image, the weights then in use, and the log's stamp of it.
_Seen = tuple[Version, str | None, int]

# Some thousand thumbnails.
THUMBNAIL_BYTES = 128 << 20
# The background scan of all patients pauses this long after a request of a user.
CALM_SECONDS = 1.5


class BackgroundScanner:
    """Looks at one image after the other in the background, while somebody has the cohort open.

    Images of files are read; of DICOM series, those that are annotated, as fetching all of a PACS is not its business.
    """

    def __init__(self, page: AnnotationPage, burden: CohortBurden, agreement: ReaderAgreement) -> None:
        self._page = page
        self._burden = burden
        self._agreement = agreement
        self._store = page.datastore
        self._thumbnails = DiskCache(self._store.private / "thumbnails", THUMBNAIL_BYTES)
        self._rows = CohortRows(page, burden, agreement)
        self._seen: dict[str, _Seen] = {}
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None
        self._asked = 0.0

    def note_activity(self) -> None:
        """Called by whatever a person waits for."""
        self._asked = time.monotonic()

    def cohort(self, reader: str = "") -> Cohort:
        """Every image, by name, as a reader may see it; what is not known yet is looked at from now on."""
        revision, versions = self._store.seeds.counts()[1], self._rows.versions()
        return Cohort(
            revision=revision,
            model_version=self._page.predictions.model_version(),
            rows=self._rows.get(versions, reader),
            annotators=_counted(self._store.seeded()),
            looking=self._start(versions),
            left_out=[LeftOut(file=file, reason=why) for file, why in sorted(self._store.left_out.items())],
            remarks=self._store.remarks(),
        )

    def marked_thumbnail(self, image_id: str, reader: str) -> bytes:
        """As `thumbnail`, with the clicks and outlines of the annotation that counts, where they are known.

        They are not drawn for a reader from whom the image's readings are hidden.
        """
        made, annotation = self.thumbnail(image_id), self._store.seeded().get(image_id)
        if annotation is None or self._store.readings.of(image_id).hidden_from(reader):
            return made
        marks = self._burden.outlines(image_id, annotation)
        return made if marks is None else marked(made, marks)

    def thumbnail(self, image_id: str) -> bytes:
        """PNG: coronal and sagittal MIP in inverse grey. Raises what reading the image raises."""
        try:
            key = self._store.image_version(image_id)
            kept = self._thumbnails.get(key)
            if kept is not None:
                return kept
            made = drawn(self._store.views(image_id))
            self._thumbnails.set(key, made)
        except InputError as error:
            self._store.note_unusable(image_id, error)
            raise
        return made

    def _start(self, versions: Mapping[str, Version]) -> bool:
        """Have the rest looked at; whether there is any."""
        model, said = self._page.predictions.model_version(), self._store.seeds.stamps()
        annotated = self._store.annotated()
        local = [i for i in versions if i in annotated or not self._store.is_series(i)]
        local.sort(key=lambda i: i not in annotated)
        todo = [i for i in local if self._seen.get(i) != (versions[i], model, said.get(i, 0))]
        with self._guard:
            for gone in self._seen.keys() - versions.keys():
                del self._seen[gone]
            if todo and (self._thread is None or not self._thread.is_alive()):
                self._thread = threading.Thread(target=self._scan, args=(todo, model), daemon=True, name="scanner")
                self._thread.start()
        return bool(todo)

    def _scan(self, todo: list[str], model: str | None) -> None:
        for image in todo:
            while time.monotonic() - self._asked < CALM_SECONDS:
                time.sleep(0.1)
            state = (self._rows.version(image), model, self._store.seeds.stamps().get(image, 0))
            try:
                self.thumbnail(image)
                if model is not None:
                    self._page.predictions.get(image)
                self._burden.measure(image)
                self._agreement.tried(image)
            except (InputError, OSError) as error:
                self._store.note_unusable(image, error)
            except Exception as error:
                logger.exception("image %s could not be looked at", image)
                self._store.note_unusable(image, error)
            with self._guard:
                self._seen[image] = state


def _counted(said: Mapping[str, seeds.Annotation]) -> dict[str, int]:
    """Annotator → how many of these annotations are theirs, most first."""
    counts: dict[str, int] = {}
    for seed in said.values():
        counts[seed.user] = counts.get(seed.user, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))
