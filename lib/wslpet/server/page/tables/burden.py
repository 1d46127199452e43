"""Tumour burden of the cohort and of one patient: tables of lesions and patients, and files to take along.

A record is of an image, its annotation and the way in which contours are found; it is measured once and kept in
`.wslpet/burden` until one of them changes.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import wslpet
from wslpet.analysis.burden.body import NOTHING_KNOWN, body_of
from wslpet.analysis.burden.tables import PatientRecord, lesions_csv
from wslpet.core.errors import InputError
from wslpet.core.seeds import Annotation
from wslpet.core.volume import Volume
from wslpet.io.cache.disk_cache import DiskCache
from wslpet.io.masks import mask_content, read_mask
from wslpet.method.burden import MeasuredScan, annotated_burden, is_of_mask
from wslpet.method.shipped import CONTOUR_SCORE
from wslpet.server.errors import quoted
from wslpet.server.page.annotation import AnnotationPage
from wslpet.server.page.cohort.thumbnails import outlines
from wslpet.server.storage.annotations.label_seeds import label_stamp
from wslpet.server.storage.images.image_list import FINAL

logger = logging.getLogger(__name__)

# Some ten thousand patients.
CACHE_BYTES = 64 << 20
# Another one when a record means something else.
_FORMAT = 2
# Folders of the package whose code a record depends on.
_MEASURING = ("core", "io", "analysis", "method")
Form = Literal["csv", "nifti", "figures", "png", "seg", "rtstruct", "sr"]
ENDINGS: dict[Form, str] = {
    "csv": "-lesions.csv",
    "nifti": "-lesions.nii.gz",
    "figures": "-figures.pdf",
    "png": "-figures.png",
    "seg": "-seg.dcm",
    "rtstruct": "-rtstruct.dcm",
    "sr": "-sr.dcm",
}
MEDIA_TYPES: dict[Form, str] = {
    "csv": "text/csv; charset=utf-8",
    "nifti": "application/gzip",
    "figures": "application/pdf",
    "png": "image/png",
    **dict.fromkeys(("seg", "rtstruct", "sr"), "application/dicom"),
}


class CohortBurden:
    """Measures the annotated images of a page's datastore."""

    def __init__(self, page: AnnotationPage) -> None:
        self._page = page
        self._store = page.datastore
        self._kept = DiskCache(self._store.private / "burden", CACHE_BYTES)
        self._outlines = DiskCache(self._store.private / "outlines", CACHE_BYTES)
        self._times: Counter[str] = Counter()

    def records(self, reader: str = "") -> Iterator[PatientRecord]:
        """Every image, by name; what is not known yet is measured now. An image that cannot be is a record, too.

        Parameters
        ----------
        reader : who asks; an image whose readings are hidden from this one is "not annotated".
        """
        seeded, unusable = self._store.seeded(), self._store.unusable()
        for image in sorted(self._store.list_images()):
            hidden = self._store.readings.of(image).hidden_from(reader)
            annotation = None if hidden else seeded.get(image)
            if annotation is not None:
                yield self._record(image, annotation)
            elif image in unusable:
                yield PatientRecord(image, self._store.facts(image), "failed", unusable[image])
            else:
                yield PatientRecord(image, self._store.facts(image))

    def annotated(self) -> list[str]:
        """Names of the images with an annotation, sorted."""
        return sorted(set(self._store.list_images()) & self._store.seeded().keys())

    def known(self, image: str, annotation: Annotation) -> PatientRecord | None:
        """The record of an image's annotation, if it was measured before; None where that cannot be told either."""
        try:
            return self._known(image, annotation)
        except (InputError, OSError):
            return None

    def measure(self, image: str) -> None:
        """Measure an image that has an annotation, unless it was before. A failure is that of the table."""
        annotation = self._store.seeded().get(image)
        if annotation is not None:
            self._record(image, annotation)

    def labels(self, image: str, annotation: Annotation) -> Volume:
        """Lesions' numbers of any annotation of an image, in its voxels, as stored; errors as of `export`."""
        return self.scan(image, annotation).labels

    def measured_times(self, image: str) -> int:
        """How often an image was measured since the server started: when this changes, `known` may."""
        return self._times[image]

    def outlines(self, image: str, annotation: Annotation) -> bytes | None:
        """Clicks and outlines for the thumbnail, as of `thumbnails.outlines`; None where it was not measured yet."""
        try:
            return self._outlines.get(self.key(image, annotation))
        except (InputError, OSError):
            return None

    def is_ascii(self) -> bool:
        """Whether the names of images, series, types and annotators hold no letter beyond ASCII."""
        facts = (text for image in self._store.list_images() for text in (image, *self._store.facts(image).values()))
        seeded = self._store.seeded().values()
        said = (text for one in seeded for text in (one.cancer_type, one.user, *(seed.user for seed in one.seeds)))
        return all(text.isascii() for text in chain(facts, said))

    def export(self, image: str, form: Form, reader: str = "", separator: str = ",") -> bytes:
        """The lesions of one image as a file; `reader` is who asks, `separator` that of a table.

        Raises
        ------
        Conflict
            when the image's readings are hidden from the reader.
        InputError
            when the image has no annotation or cannot be read, or has no lesion, or is a file and the form is DICOM.
        """
        from wslpet.analysis.burden.exports import dicom_object, series_lesions  # slow to import
        from wslpet.io.dicom.derived.lesion_segmentation import content
        from wslpet.method.burden_figures import figures_pdf, figures_png

        self._store.image_path(image)
        if reader:
            self._store.readings.check_open(image, reader)
        annotation = self._store.seeded().get(image)
        if annotation is None:
            raise InputError(f"image {quoted(image)} has no annotation, so no lesion to export; click it first")
        if form == "csv":
            return lesions_csv([self._known(image, annotation) or self.scan(image, annotation).record], separator)
        headers = None if form in ("nifti", "figures", "png") else self._store.headers(image)
        scan = self.scan(image, annotation)
        if form in ("figures", "png"):
            drawn = figures_pdf if form == "figures" else figures_png
            return drawn(self._store.volume(image), scan, self._store.title(image))
        if headers is None:
            return mask_content(scan.labels, ".nii.gz")
        grid, stamp = scan.labels, self.key(image, annotation)
        exported = series_lesions(scan.record, scan.labels, grid, headers, stamp, wslpet.__version__)
        return content(dicom_object(form, exported))

    def _record(self, image: str, annotation: Annotation) -> PatientRecord:
        try:
            return self._known(image, annotation) or self.scan(image, annotation).record
        except (InputError, OSError) as error:
            why = str(error)
        except Exception as error:  # one image must not keep the others out of the table
            logger.exception("burden of %s", image)
            why = f"{type(error).__name__}; see the server's log"
        return PatientRecord(image, self._store.facts(image), "failed", why)

    def _known(self, image: str, annotation: Annotation) -> PatientRecord | None:
        kept = self._kept.get(self.key(image, annotation))
        return None if kept is None else PatientRecord.from_dict(json.loads(kept))

    def scan(self, image: str, annotation: Annotation) -> MeasuredScan:
        """Measure an annotation of an image, also where it was measured before; errors as of `export`."""
        key = self.key(image, annotation)
        path, label = self._store.image_path(image), self._store.get_label_uri(image, FINAL)
        header = self._store.header(image)
        with self._page.annotations.opened(path) as scan:
            mask = read_mask(label, scan.volume) if label else None
            if mask is not None and not is_of_mask(annotation, mask):
                mask = None  # a later annotation counts, or an earlier one that was never superseded
            measured = annotated_burden(
                image,
                scan.volume,
                annotation,
                self._page.settings,
                mask,
                NOTHING_KNOWN if header is None else body_of(header),
                self._store.facts(image),
            )
        self._kept.set(key, json.dumps(measured.record.to_dict()).encode())
        self._outlines.set(key, outlines(measured.labels, annotation))
        self._times[image] += 1
        return measured

    def key(self, image: str, annotation: Annotation) -> str:
        """Of an image's file, its annotation and label, its facts, and the code that measures."""
        parts: list[Any] = [
            _FORMAT,
            image,
            self._store.image_version(image),
            annotation.to_dict(),
            self.label_stamp(image),
            dict(self._store.facts(image)),
            self._page.settings.types,
            _measuring_version(),
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def label_stamp(self, image: str) -> str:
        """Changes when the submitted mask does."""
        if FINAL not in self._store.get_labels_by_image_id(image):
            return ""
        return f"{self._store.get_label_info(image, FINAL).get('ts', '')} {label_stamp(self._store, image)}"


@lru_cache(maxsize=1)
def _measuring_version() -> str:
    """Changes when contours or numbers may: with the code that makes them, and the score that chooses among them."""
    package = Path(wslpet.__file__).parent
    return content_digest([CONTOUR_SCORE, *(package / layer for layer in _MEASURING)])


def content_digest(paths: Sequence[Path]) -> str:
    """Digest of files, and of the Python files in and below folders, with their places there."""
    digest = hashlib.sha256()
    for path in paths:
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(f"{file.relative_to(path)}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:32]
