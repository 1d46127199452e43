"""Radiomics of every annotated image of the datastore, as a CSV: MONAI Label's scoring method `radiomics`.

`POST /scoring/radiomics` starts it in a process of its own; `GET /scoring/` shows its state. The lesion is that of the
final label if the annotation in force was made of this label; otherwise the lesion delineated at the seeds, as in the
tables of lesions. Rows of the same image and annotation are copied from the run before.
"""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping
from typing import Any

from monailabel.interfaces.tasks.scoring import ScoringMethod

from wslpet.analysis.radiomics import catalogue, radiomics
from wslpet.core.arrays import Array
from wslpet.core.atomic_io import replacing
from wslpet.core.errors import InputError
from wslpet.core.seeds import NO_TUMOUR, Annotation
from wslpet.core.settings import Settings
from wslpet.core.volume import Volume, resample_labels
from wslpet.io.masks import read_mask
from wslpet.io.tables import guarded, unguarded
from wslpet.method.burden import is_of_mask
from wslpet.method.inference.pipeline import delineate
from wslpet.server.storage.datastore import SeededDatastore
from wslpet.server.storage.images.image_list import FINAL

logger = logging.getLogger(__name__)

FILE = "radiomics.csv"
# Columns before those of the features.
ABOUT = ("image", "cancer_type", "outline", "annotation")


class Radiomics(ScoringMethod):
    """Writes `.wslpet/radiomics.csv`: image, cancer type, source of the outline, annotation, and all features."""

    def __init__(self, settings: Settings) -> None:
        super().__init__("Radiomics of every annotated image, by PyRadiomics under IBSI ids, to .wslpet/radiomics.csv")
        self._settings = settings

    def __call__(self, request: Mapping[str, Any], datastore: SeededDatastore) -> dict[str, Any]:
        """Measure the images that have no row yet.

        Returns
        -------
        "file", path of the table; "measured" and "kept", numbers of new and of copied rows; "refused", image → why.
        """
        path = datastore.private / FILE
        before = {(row["image"], row["annotation"]): row for row in _rows(path)}
        rows, measured, refused = [], 0, datastore.uncounted()
        for image, seed in sorted(datastore.seeded().items()):
            if seed.cancer_type == NO_TUMOUR:
                continue
            try:
                annotation = _annotation(image, seed, datastore)
                row = before.get((image, annotation))
                if row is None:
                    row = self._measured(image, seed, annotation, datastore)
                    measured += 1
                rows.append(row)
            except InputError as error:
                refused[image] = str(error)
                logger.warning("radiomics of %s: %s", image, error)
        with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, (*ABOUT, *catalogue()), lineterminator="\n")
            writer.writeheader()
            writer.writerows({**row, **{name: guarded(str(row[name])) for name in ABOUT}} for row in rows)
        return {"file": str(path), "measured": measured, "kept": len(rows) - measured, "refused": refused}

    def _measured(self, image: str, seed: Annotation, annotation: str, datastore: SeededDatastore) -> dict[str, Any]:
        with datastore.scans.checkout(datastore.image_path(image)) as volume:
            label = datastore.get_label_uri(image, FINAL)
            mask = read_mask(label, volume) if label else None
            if mask is not None and is_of_mask(seed, mask):
                outline, inside = "label", resample_labels(mask, volume).array > 0
            else:
                outline, inside = "click", self._clicked(volume, seed)
            features = radiomics(volume, inside, strict=False)
        return dict(zip(ABOUT, (image, seed.cancer_type, outline, annotation), strict=True)) | features

    def _clicked(self, volume: Volume, seed: Annotation) -> Array:
        return delineate(volume, seed, settings=self._settings, sure=True).mask.array > 0


def _annotation(image: str, seed: Annotation, datastore: SeededDatastore) -> str:
    """Return the key of a row, which changes with the image, its newest annotation and its final label."""
    stamp = ""
    if datastore.get_label_uri(image, FINAL):
        stamp = str(datastore.get_label_info(image, FINAL).get("ts", ""))
    return f"{datastore.image_version(image)} {seed.time} {stamp}".strip()


def _rows(path: Any) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != (*ABOUT, *catalogue()):
            return []  # of another version of this package: everything is measured again
        return [{**row, **{name: unguarded(row[name]) for name in ABOUT}} for row in reader]
