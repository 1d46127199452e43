"""Rows of the cohort. A row is kept until something that it shows may have changed."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from nibabel.affines import apply_affine

from wslpet.core.errors import InputError
from wslpet.core.seeds import NO_TUMOUR
from wslpet.server.page.annotation import AnnotationPage
from wslpet.server.page.review.agreement import ReaderAgreement
from wslpet.server.page.review.readers import of_row
from wslpet.server.page.schemas.annotations import Annotation
from wslpet.server.page.schemas.cohort import CohortRow
from wslpet.server.page.schemas.names import State
from wslpet.server.page.tables.burden import CohortBurden
from wslpet.server.series.listing import Listing
from wslpet.server.storage.annotations.readings import reader_key
from wslpet.server.tasks.findings import Prediction

# A seed this far from the predicted lesion is another place, mm.
ELSEWHERE_MM = 10.0
# Versions of files older than this are looked up again in the background. While other threads compute, each file costs
# a wait for the GIL, 1 s for 2,000; then a request does not wait for all of them.
FRESH_SECONDS, PATIENCE_SECONDS = 2.0, 0.25
# Readers whose rows are kept; each sees others' readings or not.
MOST_READERS = 16

# Image → its row, and what the row was made of.
_Kept = dict[str, tuple[Hashable, CohortRow]]


@dataclass(frozen=True)
class Version:
    """Which version of an image there is: its key in caches, and why it has none."""

    key: str = ""
    error: str = ""


class CohortRows:
    """Rows of the images of a page's datastore, as each reader may see them."""

    def __init__(self, page: AnnotationPage, burden: CohortBurden, agreement: ReaderAgreement) -> None:
        self._page = page
        self._burden = burden
        self._agreement = agreement
        self._store = page.datastore
        self._kept: dict[str, _Kept] = {}  # of each reader, the one who asked last at the end
        self._guard = threading.Lock()
        self._versions: dict[str, Version] = {}
        self._looking = Listing(self._look_up_versions, FRESH_SECONDS)

    def versions(self) -> dict[str, Version]:
        """Which version of each image there is, by name; some may be as old as the last request."""
        self._looking.renew(PATIENCE_SECONDS if self._versions else threading.TIMEOUT_MAX)
        known = self._versions
        return {image: known.get(image) or self.version(image) for image in sorted(self._store.list_images())}

    def _look_up_versions(self) -> None:
        self._versions = {image: self.version(image) for image in self._store.list_images()}

    def version(self, image: str) -> Version:
        """Which version of an image there is now."""
        try:
            return Version(self._store.image_version(image))
        except (InputError, OSError) as error:
            return Version(error=str(error))

    def get(self, versions: Mapping[str, Version], reader: str) -> list[CohortRow]:
        """The rows of these images, in their order, as a reader may see them."""
        unusable, uncounted = self._store.unusable(), self._store.uncounted()
        said, model = self._store.seeds.stamps(), self._page.predictions.model_version()
        before, now = self._of_reader(reader), _Kept()
        for image, version in versions.items():
            wrong = unusable.get(image) or version.error
            stamp = (
                version,
                said.get(image, 0),
                model,
                (wrong, uncounted.get(image, "")),
                tuple(self._store.facts(image).items()),
                self._burden.label_stamp(image),
                # The rest comes from the background, or when somebody asks for it.
                self._page.predictions.is_in_memory(version.key),
                self._burden.measured_times(image),
                self._agreement.compared_times(image),
            )
            kept = before.get(image)
            if kept is None or kept[0] != stamp:
                kept = (stamp, self._row(image, reader, image in said, wrong, uncounted.get(image, "")))
            now[image] = kept
        self._keep(reader, now)
        return [row for _, row in now.values()]

    def _of_reader(self, reader: str) -> _Kept:
        with self._guard:
            return self._kept.get(reader_key(reader), {})

    def _keep(self, reader: str, rows: _Kept) -> None:
        with self._guard:
            self._kept.pop(reader_key(reader), None)
            self._kept[reader_key(reader)] = rows
            for oldest in list(self._kept)[:-MOST_READERS]:
                del self._kept[oldest]

    def _row(self, image: str, reader: str, is_said: bool, unusable: str, uncounted: str) -> CohortRow:
        here = self._store.readings.of(image)
        history = self._page.history(image, reader) if is_said else []
        annotation = _latest(history)
        state: State = "annotated" if annotation else "unannotated"
        reason = "" if here.hidden_from(reader) else uncounted
        predicted = None if unusable else self._page.predictions.known(image)
        if unusable:
            state, reason = "unreadable", unusable
        elif predicted and annotation:
            reason = disagreement(annotation, predicted)
            state = "disagreement" if reason else state
        standing = self._store.seeds.get(image)[-1:] if annotation else []
        measured = self._burden.known(image, standing[0]) if standing else None
        shown = predicted if annotation else None  # it must not sway who annotates next
        return CohortRow(
            image=image,
            title=self._store.title(image),
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
                self._store.readings.remarks(image, reader) if is_said else [],
                self._agreement.known(image) if here.needed > 1 and here.complete else [],
                reader,
            ),
        )


def _latest(history: Sequence[Annotation]) -> Annotation | None:
    """The annotation that counts."""
    return next((said for said in reversed(history) if said.counts), None)


def _probability(predicted: Prediction) -> float | None:
    if predicted.lesion is None:
        return 1.0 - predicted.lesion_probability
    return predicted.probabilities.get(predicted.cancer_type)


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
