"""All patients at a glance: what is annotated, what the weights make of it, what cannot be read and why."""

from __future__ import annotations

import io
import logging
import threading
import time
from collections.abc import Mapping

import numpy as np
from nibabel.affines import apply_affine
from PIL import Image

from wslpet.core import seeds
from wslpet.core.errors import InputError
from wslpet.core.seeds import NO_TUMOUR
from wslpet.io.cache.disk_cache import DiskCache
from wslpet.method.projection.mip import Views
from wslpet.server.page.annotation import AnnotationPage
from wslpet.server.page.burden import CohortBurden
from wslpet.server.page.schemas import Annotation, Cohort, CohortRow, LeftOut, State
from wslpet.server.tasks.findings import Prediction

logger = logging.getLogger(__name__)

# A seed this far from the predicted lesion is another place, mm.
ELSEWHERE_MM = 10.0
THUMBNAIL_PIXELS = 176
# Some thousand thumbnails.
THUMBNAIL_BYTES = 128 << 20
THUMBNAIL_SUV = 10.0
# The look at all patients waits this long after a person asked for something.
CALM_SECONDS = 1.5


class BackgroundScanner:
    """Looks at one image after the other in the background, while somebody has the cohort open.

    Images of files are read; of DICOM series, those that are annotated, as fetching all of a PACS is not its business.
    """

    def __init__(self, page: AnnotationPage, burden: CohortBurden) -> None:
        self._page = page
        self._burden = burden
        self._store = page.datastore
        self._thumbnails = DiskCache(self._store.private / "thumbnails", THUMBNAIL_BYTES)
        self._disagreements: dict[str, tuple[tuple[str, str], str]] = {}  # image → of which annotation and weights, why
        self._seen: dict[str, tuple[str, str | None]] = {}  # image → which version of it, and the weights then in use
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None
        self._asked = 0.0

    def note_activity(self) -> None:
        """Called by whatever a person waits for."""
        self._asked = time.monotonic()

    def cohort(self) -> Cohort:
        """Every image, by name; what is not known yet is looked at from now on."""
        counts, revision = self._store.seeds.counts()
        seeds, unusable, uncounted = self._store.seeded(), self._store.unusable(), self._store.uncounted()
        images = sorted(self._store.list_images())
        self._disagreements = {i: self._disagreements[i] for i in images if i in self._disagreements}
        rows = [self._row(i, counts.get(i, 0), unusable.get(i, ""), uncounted.get(i, "")) for i in images]
        return Cohort(
            revision=revision,
            model_version=self._page.predictions.model_version(),
            rows=rows,
            annotators=_counted(seeds),
            looking=self._start(images),
            left_out=[LeftOut(file=file, reason=why) for file, why in sorted(self._store.left_out.items())],
            remarks=self._store.remarks(),
        )

    def thumbnail(self, image_id: str) -> bytes:
        """PNG: coronal and sagittal MIP in inverse grey. Raises what reading the image raises."""
        try:
            key = self._store.image_version(image_id)
            kept = self._thumbnails.get(key)
            if kept is not None:
                return kept
            made = _drawn(self._store.views(image_id))
            self._thumbnails.set(key, made)
        except InputError as error:
            self._store.note_unusable(image_id, error)
            raise
        return made

    def _row(self, image: str, annotations: int, unusable: str, uncounted: str) -> CohortRow:
        history = self._page.history(image) if annotations else []
        annotation = _latest(history)
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
            annotations=annotations,
            lesions=len(measured.lesions) if measured else None,
            mtv_ml=sum(lesion.volume_ml for lesion in measured.lesions) if measured else None,
            predicted=shown.cancer_type if shown else None,
            probability=shown.probabilities.get(shown.cancer_type) if shown else None,
            confidence=shown.confidence if shown else None,
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
        todo = [i for i in local if i not in self._seen or self._seen[i] != (self._version(i), model)]
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
            try:
                self.thumbnail(image)
                if model is not None:
                    self._page.predictions.get(image)
                self._burden.measure(image)
            except (InputError, OSError) as error:
                self._store.note_unusable(image, error)
            except Exception as error:
                logger.exception("image %s could not be looked at", image)
                self._store.note_unusable(image, error)
            with self._guard:
                self._seen[image] = (self._version(image), model)

    def _version(self, image: str) -> str:
        try:
            return self._store.image_version(image)
        except (InputError, OSError):
            return ""


def _latest(history: list[Annotation]) -> Annotation | None:
    """The annotation that counts."""
    return next((said for said in reversed(history) if said.counts), None)


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


def _drawn(of_scan: Views) -> bytes:
    pictures = []
    for view in of_scan:
        grey = 242 - np.clip(view.mip / THUMBNAIL_SUV, 0, 1) * 242
        image = Image.fromarray(grey.astype(np.uint8).T[::-1, ::-1])
        height = THUMBNAIL_PIXELS
        width = max(1, round(height * view.mip.shape[0] * view.spacing[0] / (view.mip.shape[1] * view.spacing[1])))
        if width > height:
            width, height = height, max(1, round(height * height / width))
        pictures.append(image.resize((width, height), Image.Resampling.LANCZOS))
    coronal, sagittal = pictures
    sheet = Image.new("L", (coronal.width + 4 + sagittal.width, max(coronal.height, sagittal.height)), 242)
    sheet.paste(coronal, (0, 0))
    sheet.paste(sagittal, (coronal.width + 4, 0))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()
