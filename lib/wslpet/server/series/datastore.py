"""A datastore whose images are DICOM series of a folder or a PACS, beside the image files that lie in it.

A series is listed under its SeriesInstanceUID with what its header says. It becomes SUV when it is first used, once,
and is kept in `.wslpet/series` (see `series.cache`). One that cannot become SUV stays in the list, and says why.
"""

from __future__ import annotations

import logging
import math
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from monailabel.datastore.local import DataModel, ImageLabelModel
from pydicom.dataset import Dataset

from wslpet.core.atomic_io import replacing
from wslpet.core.errors import DicomError, InputError
from wslpet.core.seeds import NO_TUMOUR
from wslpet.core.settings import Settings
from wslpet.core.state_folder import PRIVATE
from wslpet.io.dicom.derived.segmentation import Maker, read_segmentation, write_segmentation
from wslpet.io.folders import look_into
from wslpet.io.masks import read_mask, write_mask
from wslpet.server.errors import PacsError, quoted
from wslpet.server.series.cache import RULES, SeriesCache
from wslpet.server.series.conversion import Conversion
from wslpet.server.series.listing import Listing
from wslpet.server.series.source import FACTS, FoundSegmentation, FoundSeries, SeriesSource, is_uid
from wslpet.server.storage.datastore import SeededDatastore
from wslpet.server.storage.folder_watch import Changes
from wslpet.server.storage.image_list import FINAL

logger = logging.getLogger(__name__)

# The "extension" of an image that is a series, in the list of images.
_SERIES = ".dcm"
_LABEL = ".nii.gz"
# The source is asked first when the server starts, which may wait for the answer.
START_SECONDS = 30.0


class SeriesDatastore(SeededDatastore):
    """A datastore of image files and of DICOM series.

    Parameters
    ----------
    folder : of image files, labels, the list of images and `.wslpet`; made if need be.
    source : of the series.
    auto_reload : whether to look for new images while the server runs.
    settings, read_only, renamed, state : as `SeededDatastore` has them.
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
    ) -> None:
        self._source = source
        self._conversion = Conversion(source, SeriesCache((state or Path(folder) / PRIVATE) / "series"))
        super().__init__(folder, settings, read_only, renamed, state)
        self._changes = Changes(self._folders)
        self._listing = Listing(self._take_in, source.fresh_seconds if auto_reload else math.inf)
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
        """As `SeededDatastore` has it, with the series that are known to be no SUV."""
        return {**super().unusable(), **self._conversion.refused()}

    def image_path(self, image_id: Any) -> Path:
        """The image's file in SUV; fetched and converted when it is a series that was not used before.

        Raises
        ------
        UnknownName
            when there is no such image.
        DicomError
            when the series cannot become SUV.
        PacsError
            when it has to be fetched, and the PACS does not send it.
        """
        if isinstance(image_id, str) and self._entry(image_id) is None:
            self._listing.renew(at_once=True)
            if is_uid(image_id) and self._entry(image_id) is None and self._listing.trouble is not None:
                raise self._listing.trouble
        return super().image_path(image_id)

    def is_at_hand(self, image_id: str) -> bool:
        """Not of an image that is not known yet, nor of a series that was not used before."""
        series = self._series(image_id)
        return self._entry(image_id) is not None if series is None else self._conversion.has(series)

    def get_image_uri(self, image_id: str) -> str:
        series = self._series(image_id)
        return super().get_image_uri(image_id) if series is None else str(self._conversion.get(series).image)

    def image_version(self, image_id: str) -> str:
        """Of a series the key is what the source says of it: it may be nowhere else yet."""
        series = self._series(image_id)
        return super().image_version(image_id) if series is None else f"{series.uid} {series.version} {RULES}"

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        """Information kept of an image; of a series also how its SUV is computed.

        That is its UIDs, "suv" (factor, units, dose, times, weight) and "notes" (what was inferred of them, in
        sentences), or "refused" and why.
        """
        series = self._series(image_id)
        if series is None:
            return super().get_image_info(image_id)
        with self._guard:
            info = {**self._datastore.objects[image_id].image.info, **series.info()}
        try:
            converted = self._conversion.get(series)
            # Slicer names its download so, and reads it by the name's ending.
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
        """The counts, and "trouble" when the source does not answer."""
        self._listing.renew()
        status = super().status()
        return {**status, "trouble": self.trouble} if self.trouble else status

    def datalist(self, full_path: bool = True) -> list[dict[str, Any]]:
        """Images with a final label; paths are full."""
        labelled = self.get_labeled_images()
        return [{"image": str(self.image_path(i)), "label": self.get_label_uri(i, FINAL)} for i in labelled]

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: Mapping[str, Any]) -> str:
        """Store a mask here; a final one of a series on a PACS is kept there, too, as DICOM SEG.

        Raises
        ------
        PacsError
            when the PACS does not take it; the label, its seed and type are kept here all the same.
        """
        label_id = super().save_label(image_id, label_filename, label_tag, label_info)
        if label_tag == FINAL and self._series(image_id) is not None and self._source.keeps_segmentations:
            self._store_segmentation(image_id)
        return label_id

    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        path = super().get_label_uri(label_id, label_tag)
        if path and not Path(path).exists():
            self._fetch_label(label_id, label_tag, Path(path))
        return path

    def _check_removable(self, image_id: str, tag: str) -> None:
        label = self._datastore.label(image_id, tag)
        if label is not None and label.info.get("SeriesInstanceUID"):
            raise InputError(
                f"label of {quoted(image_id)} is series {label.info['SeriesInstanceUID']} on the {self.name()}; "
                "delete it there first"
            )

    @property
    def left_out(self) -> dict[str, str]:
        """As of `SeededDatastore`, and what the source of the series leaves out."""
        return {**super().left_out, **self._source.left_out}

    @property
    def trouble(self) -> str:
        return "" if self._listing.trouble is None else str(self._listing.trouble)

    def check_complete(self) -> None:
        if self._listing.trouble is not None:
            raise self._listing.trouble

    def note_unusable(self, image_id: str, error: Exception) -> None:
        if not (isinstance(error, DicomError) and self.is_series(image_id)):  # the conversion remembers it
            super().note_unusable(image_id, error)

    def facts(self, image_id: str) -> dict[str, str]:
        series = self._series(image_id)
        return {} if series is None else series.facts

    def notes(self, image_id: str) -> list[str]:
        series = self._series(image_id)
        return [] if series is None else list(self._conversion.get(series).info["notes"])

    def header(self, image_id: str) -> Dataset | None:
        """Header of a series' first slice; None of a file. Errors as `image_path`."""
        series = self._series(image_id)
        return None if series is None else self._conversion.get(series).header()

    def headers(self, image_id: str) -> list[Dataset]:
        """Headers of a series' slices along k, without pixels; errors as `image_path`.

        Raises
        ------
        InputError
            when the image is no series.
        """
        series = self._series(image_id)
        if series is None:
            raise InputError(
                f"image {quoted(image_id)} is a file, no DICOM series that a DICOM object could refer to; ask for "
                "nifti or csv, or serve the DICOM series"
            )
        return self._conversion.get(series).headers()

    def is_series(self, image_id: str) -> bool:
        return self._series(image_id) is not None

    @property
    def source(self) -> SeriesSource:
        """Where the series come from."""
        return self._source

    def write_dicom_seg(self, image_id: str, mask: Path, names: Mapping[int, str], maker: Maker, path: Path) -> str:
        """Write a mask of a series as DICOM SEG; returns the SEG's SeriesInstanceUID. Errors as `image_path`."""
        series = self._series(image_id)
        if series is None:
            raise InputError(f"image {quoted(image_id)} is no DICOM series, so no DICOM SEG can refer to it")
        converted = self._conversion.get(series)
        grid = self.scans.volume(converted.image)
        return write_segmentation(read_mask(mask), grid, converted.headers(), names, maker, path)

    def _series(self, image_id: Any) -> FoundSeries | None:
        entry = self._entry(image_id) if isinstance(image_id, str) else None
        if entry is None or entry.image.ext != _SERIES:
            return None
        return FoundSeries.from_info(image_id, entry.image.info)

    def _folders(self) -> list[Path]:
        """Where image files and labels lie; a new folder changes the time of the one that it lies in."""
        labels = look_into(Path(self._datastore.label_path(None))).folders
        return [*(self._tree.folders or [self._images]), *labels]

    def _take_in(self) -> None:
        """Make the list of images what the source says. Called in the listing's thread."""
        with self._guard:
            known = [image for image, entry in self._datastore.objects.items() if entry.image.ext == _SERIES]
        found, changed = self._source.search(known), self._changes.may_have_been()
        if found or known or changed:
            with self._listing_changes() as objects:
                for image in [i for i, entry in objects.items() if entry.image.ext == _SERIES and i not in found]:
                    del objects[image]
                for uid, series in found.items():
                    new = ImageLabelModel(image=DataModel(ext=_SERIES, info={"ts": int(time.time())}))
                    entry = objects.setdefault(uid, new)
                    if entry.image.ext == _SERIES:
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
                _take_in_label(objects[uid], segmentations.get(uid), asked)
        self.label_seeds.renew()

    @contextmanager
    def _listing_changes(self) -> Iterator[dict[str, ImageLabelModel]]:
        """The list of images, to be changed; written when it was."""
        with self._changing():
            before = self._datastore.model_dump_json()
            yield self._datastore.objects
            if self._datastore.model_dump_json() != before:
                self._update_datastore_file()

    def _elsewhere(self, entry: ImageLabelModel) -> list[DataModel]:
        """A series has no file in the folder, and a label on the PACS has none yet."""
        if entry.image.ext != _SERIES:
            return []
        return [entry.image, *(label for label in entry.labels.values() if label.info.get("SeriesInstanceUID"))]

    def _store_segmentation(self, image_id: str) -> None:
        cancer_type = self.seeds.get(image_id)[-1].cancer_type
        if cancer_type == NO_TUMOUR:
            return
        mask = Path(super().get_label_uri(image_id, FINAL))
        values = np.unique(read_mask(mask).array)
        names = {int(value): cancer_type for value in values if value}
        person = self.seeds.get(image_id)[-1].user
        with tempfile.TemporaryDirectory(prefix="wslpet-") as scratch:
            path = Path(scratch) / "label.dcm"
            try:
                uid = self.write_dicom_seg(image_id, mask, names, Maker("MANUAL", person=person), path)
                self._source.store(path)
            except InputError as error:
                raise type(error)(
                    f"{error}. The label and its seed are kept on this server, not on the PACS; submit it again"
                ) from error
        study = self._datastore.objects[image_id].image.info["StudyInstanceUID"]
        info = {"SeriesInstanceUID": uid, "StudyInstanceUID": study, "Modality": "SEG"}
        self.update_label_info(image_id, FINAL, info)

    def _fetch_label(self, image_id: str, tag: str, target: Path) -> None:
        """Read a label back from the source, onto the series' own grid."""
        info = self.get_label_info(image_id, tag)
        grid = self.volume(image_id)
        labels = self.settings.labels
        values = {**{former: labels[name] for former, name in self.renamed.items() if name in labels}, **labels}
        with tempfile.TemporaryDirectory(prefix="wslpet-") as scratch:
            fetched, mask = Path(scratch) / "segmentation.dcm", Path(scratch) / f"mask{_LABEL}"
            self._source.fetch_segmentation(info["StudyInstanceUID"], info["SeriesInstanceUID"], fetched)
            write_mask(read_segmentation(fetched, grid, values), mask)
            with replacing(target) as temporary:
                temporary.write_bytes(mask.read_bytes())


def _take_in_label(entry: ImageLabelModel, found: FoundSegmentation | None, asked: int) -> None:
    """A series' final label is the one submitted here, else the newest on the source."""
    label = entry.labels.get(FINAL)
    if found is not None and label is None and entry.image.ext == _SERIES:
        info = {"SeriesInstanceUID": found.uid, "StudyInstanceUID": found.study, "Modality": "SEG"}
        entry.labels[FINAL] = DataModel(ext=_LABEL, info={**info, "ts": int(time.time())})
    # One submitted after the source was asked may be there by now.
    elif found is None and label is not None and label.info.get("ts", 0) < asked:
        label.info.pop("SeriesInstanceUID", None)
