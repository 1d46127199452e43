"""All patients at a glance: what is annotated, what the weights make of it, what cannot be read and why."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping

import numpy as np
from nibabel.affines import apply_affine

from wslpet.core import seeds
from wslpet.core.errors import InputError
from wslpet.core.seeds import NO_TUMOUR
from wslpet.io.cache.disk_cache import DiskCache
from wslpet.server.page.annotation import AnnotationPage
from wslpet.server.page.review.agreement import ReaderAgreement
from wslpet.server.page.review.readers import of_row
from wslpet.server.page.schemas.annotations import Annotation
from wslpet.server.page.schemas.cohort import Cohort, CohortRow, LeftOut
from wslpet.server.page.schemas.names import State
from wslpet.server.page.tables.burden import CohortBurden
from wslpet.server.page.thumbnails import drawn, marked
from wslpet.server.tasks.findings import Prediction

logger = logging.getLogger(__name__)

# Which version of an image, the weights then in use, and when what stands of it was said.
_Seen = tuple[str, str | None, tuple[str, ...]]

# A seed this far from the predicted lesion is another place, mm.
ELSEWHERE_MM = 10.0
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
        self._disagreements: dict[str, tuple[tuple[str, str], str]] = {}  # image → of which annotation and weights, why
        self._seen: dict[str, _Seen] = {}
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None
        self._asked = 0.0

    def note_activity(self) -> None:
        """Called by whatever a person waits for."""
        self._asked = time.monotonic()

    def cohort(self, reader: str = "") -> Cohort:
        """Every image, by name, as a reader may see it; what is not known yet is looked at from now on."""
        counts, revision = self._store.seeds.counts()
        seeds, unusable, uncounted = self._store.seeded(), self._store.unusable(), self._store.uncounted()
        images = sorted(self._store.list_images())
        self._disagreements = {i: self._disagreements[i] for i in images if i in self._disagreements}
        rows = [self._row(i, reader, counts.get(i, 0), unusable.get(i, ""), uncounted.get(i, "")) for i in images]
        return Cohort(
            revision=revision,
            model_version=self._page.predictions.model_version(),
            rows=rows,
            annotators=_counted(seeds),
            looking=self._start(images),
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

    def _row(self, image: str, reader: str, said: int, unusable: str, uncounted: str) -> CohortRow:
        here = self._store.readings.of(image)
        history = self._page.history(image, reader) if said else []
        annotation = _latest(history)
        uncounted = "" if here.hidden_from(reader) else uncounted
        state: State = "annotated" if annotation else "unannotated"
        reason, predicted = uncounted, None
        try:
            predicted = self._page.predictions.known(image)
        except (InputError, OSError) as error:
            unusable = unusable or str(error)
        if unusable:
            state, reason = "unreadable", unusable
        if predicted and annotation and not unusable:
            reason = self._disagreement(image, annotation, predicted)
            state = "disagreement" if reason else state
        standing = self._store.seeds.get(image)[-1:] if annotation else []
        measured = self._burden.known(image, standing[0]) if standing else None
        shown = predicted if annotation else None  # it must not sway who annotates next
        return CohortRow(
            image=image,
            title=self._page.title(image),
            state=state,
            reason=reason,
            annotation=annotation,
            annotations=len(history),
            lesions=len(measured.lesions) if measured else None,
            mtv_ml=sum(lesion.volume_ml for lesion in measured.lesions) if measured else None,
            predicted=shown.cancer_type if shown else None,
            probability=_probability(shown) if shown else None,
            confidence=shown.confidence if shown else None,
            readings=self._page.readings(image, reader),
            **of_row(
                here,
                self._store.readings.remarks(image, reader) if said else [],
                self._agreement.known(image) if here.needed > 1 and here.complete else [],
                reader,
            ),
        )

    def _disagreement(self, image: str, annotation: Annotation, predicted: Prediction) -> str:
        key = (annotation.time, predicted.model_version)
        known = self._disagreements.get(image)
        if known is None or known[0] != key:
            known = self._disagreements[image] = (key, disagreement(annotation, predicted))
        return known[1]

    def _start(self, images: list[str]) -> bool:
        """Have the rest looked at; whether there is any."""
        model = self._page.predictions.model_version()
        annotated = self._store.annotated()
        local = [i for i in images if i in annotated or not self._store.is_series(i)]
        local.sort(key=lambda i: i not in annotated)
        todo = [i for i in local if i not in self._seen or self._seen[i] != self._state(i, model)]
        with self._guard:
            for gone in set(self._seen) - set(images):
                del self._seen[gone]
            if todo and (self._thread is None or not self._thread.is_alive()):
                self._thread = threading.Thread(target=self._scan, args=(todo, model), daemon=True, name="scanner")
                self._thread.start()
        return bool(todo)

    def _scan(self, todo: list[str], model: str | None) -> None:
        for image in todo:
            while time.monotonic() - self._asked < CALM_SECONDS:
                time.sleep(0.1)
            state = self._state(image, model)
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

    def _state(self, image: str, model: str | None) -> _Seen:
        standing = self._store.seeds.get(image)
        try:
            return self._store.image_version(image), model, tuple(said.time for said in standing)
        except (InputError, OSError):
            return "", model, ()


def _latest(history: list[Annotation]) -> Annotation | None:
    """The annotation that counts."""
    return next((said for said in reversed(history) if said.counts), None)


def _probability(predicted: Prediction) -> float | None:
    if predicted.lesion is None:
        return 1.0 - predicted.lesion_probability
    return predicted.probabilities.get(predicted.cancer_type)


def _counted(said: Mapping[str, seeds.Annotation]) -> dict[str, int]:
    """Annotator → how many of these annotations are theirs, most first."""
    counts: dict[str, int] = {}
    for seed in said.values():
        counts[seed.user] = counts.get(seed.user, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def disagreement(annotation: Annotation, predicted: Prediction) -> str:
    """In words, how an annotation and the weights differ; empty when they agree."""
    if annotation.cancer_type != predicted.cancer_type:
        return f"type: {annotation.user} says {annotation.cancer_type}, the model {predicted.cancer_type}"
    if annotation.cancer_type == NO_TUMOUR or annotation.position is None or predicted.position is None:
        return ""
    there = np.array([predicted.position])
    if predicted.lesion is not None:
        there = apply_affine(np.array(predicted.affine), predicted.lesion.mask.voxels())
    away = float(np.linalg.norm(there - annotation.position, axis=1).min())
    return f"place: the model looks {away:.0f} mm away" if away > ELSEWHERE_MM else ""
