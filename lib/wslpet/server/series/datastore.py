"""Datastore of DICOM series, from a folder or a PACS, and of the image files in the same folder.

A series is listed under its SeriesInstanceUID. It is converted to SUV at its first use and kept in `.wslpet/series`
(see `series.cache`). A series that cannot be converted stays in the list with the reason.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from monailabel.datastore.local import DataModel, ImageLabelModel
from pydicom.dataset import Dataset

from wslpet.core.errors import DicomError, InputError
from wslpet.core.seeds import NO_TUMOUR
from wslpet.core.settings import Settings
from wslpet.data.state_folder import PRIVATE
from wslpet.io.dicom.derived.segmentation import Maker
from wslpet.io.folders import look_into
from wslpet.server.errors import PacsError, quoted
from wslpet.server.series.cache import RULES, CachedSeries, SeriesCache
from wslpet.server.series.conversion import Conversion
from wslpet.server.series.listing import Listing
from wslpet.server.series.segmentations import SERIES, SegmentationExchange, list_segmentation
from wslpet.server.series.source import FACTS, FoundSeries, SeriesSource, is_uid
from wslpet.server.storage.datastore import SeededDatastore
from wslpet.server.storage.folder_watch import Changes
from wslpet.server.storage.image_list import FINAL

logger = logging.getLogger(__name__)

# The first search runs when the server starts; the start waits this long for its answer.
START_SECONDS = 30.0


class SeriesDatastore(SeededDatastore):
    """A datastore of image files and of DICOM series.

    Parameters
    ----------
    folder : has image files, labels, the list of images and `.wslpet`; created if missing.
    source : of the series.
    auto_reload : whether to look for new images while the server runs.
    settings, read_only, renamed, state, readers : as `SeededDatastore` has them.
    """

    def __init__(
        self,
        folder: str,
        settings: Settings,
        source: SeriesSource,
        auto_reload: bool = True,
        read_only: bool = False,
        renamed: Mapping[str, str] | None = None,
        state: Path | None = None,
        readers: int = 1,
    ) -> None:
        self._source = source
        self._conversion = Conversion(source, SeriesCache((state or Path(folder) / PRIVATE) / "series"))
        super().__init__(folder, settings, read_only, renamed, state, readers)
        self._exchange = SegmentationExchange(source, self.scans.volume)
        self._changes = Changes(self._folders)
        self._listing = Listing(self._update_list, source.fresh_seconds if auto_reload else math.inf)
        self._listing.renew(START_SECONDS)
        self.label_seeds.renew(START_SECONDS)
        for remark in self.remarks():
            logger.warning("%s", remark)

    def name(self) -> str:
        return self._source.name

    def list_images(self) -> list[str]:
        self._listing.renew()
        return super().list_images()

    def unusable(self) -> dict[str, str]:
        """As `SeededDatastore.unusable`, with the series that cannot be converted to SUV."""
        return {**super().unusable(), **self._conversion.refused()}

    def image_path(self, image_id: Any) -> Path:
        """The image's file in SUV. A series is fetched and converted at its first use.

        Raises
        ------
        UnknownName
            if there is no such image.
        DicomError
            if the series cannot be converted to SUV.
        PacsError
            if the PACS does not send it.
        """
        if isinstance(image_id, str) and self._entry(image_id) is None:
            self._listing.renew(at_once=True)
            if is_uid(image_id) and self._entry(image_id) is None and self._listing.trouble is not None:
                raise self._listing.trouble
        return super().image_path(image_id)

    def is_at_hand(self, image_id: str) -> bool:
        """Whether the image is a file, or a series that was converted before."""
        series = self._series(image_id)
        return self._entry(image_id) is not None if series is None else self._conversion.has(series)

    def get_image_uri(self, image_id: str) -> str:
        series = self._series(image_id)
        return super().get_image_uri(image_id) if series is None else str(self._conversion.get(series).image)

    def image_version(self, image_id: str) -> str:
        """As `SeededDatastore.image_version`; of a series, its version on the source, since it may have no file yet."""
        series = self._series(image_id)
        return super().image_version(image_id) if series is None else f"{series.uid} {series.version} {RULES}"

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        """Information about an image; for a series also how its SUV is computed.

        That is its UIDs, "suv" (factor, units, dose, times, weight) and "notes" (which of these were inferred, in
        sentences); or "refused" with the reason.
        """
        series = self._series(image_id)
        if series is None:
            return super().get_image_info(image_id)
        with self._guard:
            info = {**self._datastore.objects[image_id].image.info, **series.info()}
        try:
            converted = self._conversion.get(series)
            # Slicer saves its download under this name, and chooses the reader by its extension.
            info |= {**converted.info, "path": str(converted.image), "name": converted.image.name}
        except PacsError as error:
            info["unavailable"] = str(error)
        except InputError as error:
            info["refused"] = str(error)
        return {**info, "seeds": [seed.to_dict() for seed in self.seeds.get(image_id)]}

    def update_image_info(self, image_id: str, info: Mapping[str, Any]) -> None:
        own = {"version", "Modality", *FACTS} if self._series(image_id) else set()
        super().update_image_info(image_id, {key: value for key, value in info.items() if key not in own})

    def remove_image(self, image_id: str) -> None:
        if self._series(image_id) is not None:
            raise InputError(f"image {quoted(image_id)} is a DICOM series of the {self.name()}; delete it there")
        super().remove_image(image_id)

    def status(self) -> dict[str, Any]:
        """The counts, and "trouble" if the source does not answer."""
        self._listing.renew()
        status = super().status()
        return {**status, "trouble": self.trouble} if self.trouble else status

    def datalist(self, full_path: bool = True) -> list[dict[str, Any]]:
        """Images with a final label; paths are full."""
        labelled = self.get_labeled_images()
        return [{"image": str(self.image_path(i)), "label": self.get_label_uri(i, FINAL)} for i in labelled]

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: Mapping[str, Any]) -> str:
        """Store a mask. The final one of a series on a PACS is also sent there, as DICOM SEG.

        Raises
        ------
        PacsError
            if the PACS does not accept it; the label and its annotation are kept here all the same.
        """
        label_id = super().save_label(image_id, label_filename, label_tag, label_info)
        if label_tag == FINAL and self._series(image_id) is not None and self._source.keeps_segmentations:
            self._send_label(image_id)
        return label_id

    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        path = super().get_label_uri(label_id, label_tag)
        if path and not Path(path).exists():
            info, labels = self.get_label_info(label_id, label_tag), self.settings.labels
            former = {old: labels[name] for old, name in self.renamed.items() if name in labels}
            study, uid = info["StudyInstanceUID"], info["SeriesInstanceUID"]
            self._exchange.fetch(study, uid, self._converted(label_id), {**former, **labels}, Path(path))
        return path

    def _send_label(self, image_id: str) -> None:
        """Send a series' final label to its source, and note its UID; "no tumour" has no label to send."""
        primary = self.seeds.get(image_id)[-1]
        if primary.cancer_type == NO_TUMOUR:
            return
        mask = Path(super().get_label_uri(image_id, FINAL))
        uid = self._exchange.send(self._converted(image_id), mask, primary.cancer_type, primary.user)
        study = self._datastore.objects[image_id].image.info["StudyInstanceUID"]
        info = {"SeriesInstanceUID": uid, "StudyInstanceUID": study, "Modality": "SEG"}
        self.update_label_info(image_id, FINAL, info)

    def _check_removable(self, image_id: str, tag: str) -> None:
        label = self._datastore.label(image_id, tag)
        if label is not None and label.info.get("SeriesInstanceUID"):
            raise InputError(
                f"label of {quoted(image_id)} is series {label.info['SeriesInstanceUID']} on the {self.name()}; "
                "delete it there first"
            )

    @property
    def left_out(self) -> dict[str, str]:
        """As `SeededDatastore.left_out`, with what the source of the series leaves out."""
        return {**super().left_out, **self._source.left_out}

    @property
    def trouble(self) -> str:
        return "" if self._listing.trouble is None else str(self._listing.trouble)

    def check_complete(self) -> None:
        if self._listing.trouble is not None:
            raise self._listing.trouble

    def note_unusable(self, image_id: str, error: Exception) -> None:
        if not (isinstance(error, DicomError) and self.is_series(image_id)):  # the conversion keeps the reason
            super().note_unusable(image_id, error)

    def facts(self, image_id: str) -> dict[str, str]:
        series = self._series(image_id)
        return {} if series is None else series.facts

    def notes(self, image_id: str) -> list[str]:
        series = self._series(image_id)
        return [] if series is None else list(self._conversion.get(series).info["notes"])

    def header(self, image_id: str) -> Dataset | None:
        """Header of a series' first slice; None for a file. Errors as `image_path`."""
        series = self._series(image_id)
        return None if series is None else self._conversion.get(series).header()

    def headers(self, image_id: str) -> list[Dataset]:
        """Headers of a series' slices along k, without pixels; errors as `image_path`.

        Raises
        ------
        InputError
            if the image is no series.
        """
        return self._converted(image_id).headers()

    def is_series(self, image_id: str) -> bool:
        return self._series(image_id) is not None

    @property
    def source(self) -> SeriesSource:
        """Where the series come from."""
        return self._source

    def write_dicom_seg(self, image_id: str, mask: Path, names: Mapping[int, str], maker: Maker, path: Path) -> str:
        """Write a mask of a series as DICOM SEG; returns the SEG's SeriesInstanceUID. Errors as `headers`."""
        return self._exchange.write(self._converted(image_id), mask, names, maker, path)

    def _converted(self, image_id: str) -> CachedSeries:
        """A series in SUV; errors as `headers`."""
        series = self._series(image_id)
        if series is None:
            raise InputError(
                f"image {quoted(image_id)} is a file, no DICOM series that a DICOM object could refer to; ask for "
                "nifti or csv, or serve the DICOM series"
            )
        return self._conversion.get(series)

    def _series(self, image_id: Any) -> FoundSeries | None:
        entry = self._entry(image_id) if isinstance(image_id, str) else None
        if entry is None or entry.image.ext != SERIES:
            return None
        return FoundSeries.from_info(image_id, entry.image.info)

    def _folders(self) -> list[Path]:
        """Folders with image files and labels. A new folder changes the modification time of its parent."""
        labels = look_into(Path(self._datastore.label_path(None))).folders
        return [*(self._tree.folders or [self._images]), *labels]

    def _update_list(self) -> None:
        """Update the list of images from the source. Called in the listing's thread."""
        with self._guard:
            known = [image for image, entry in self._datastore.objects.items() if entry.image.ext == SERIES]
        found, changed = self._source.search(known), self._changes.may_have_been()
        if found or known or changed:
            with self._listing_changes() as objects:
                for image in [i for i, entry in objects.items() if entry.image.ext == SERIES and i not in found]:
                    del objects[image]
                for uid, series in found.items():
                    new = ImageLabelModel(image=DataModel(ext=SERIES, info={"ts": int(time.time())}))
                    entry = objects.setdefault(uid, new)
                    if entry.image.ext == SERIES:
                        entry.image.info.update(series.info())
                if changed:
                    self._reconcile_datastore()
        if not found:
            self.label_seeds.renew()
            return
        asked = int(time.time())
        segmentations = self._source.segmentations(found, [*self.settings.types, *self.renamed])
        with self._listing_changes() as objects:
            for uid in found.keys() & objects.keys():
                list_segmentation(objects[uid], segmentations.get(uid), asked)
        self.label_seeds.renew()

    @contextmanager
    def _listing_changes(self) -> Iterator[dict[str, ImageLabelModel]]:
        """Give the list of images to a block that may change it; write it if it changed."""
        with self._changing():
            before = self._datastore.model_dump_json()
            yield self._datastore.objects
            if self._datastore.model_dump_json() != before:
                self._update_datastore_file()

    def _elsewhere(self, entry: ImageLabelModel) -> list[DataModel]:
        """Entries without a file in the folder: a series, and labels that are on the PACS."""
        if entry.image.ext != SERIES:
            return []
        return [entry.image, *(label for label in entry.labels.values() if label.info.get("SeriesInstanceUID"))]
