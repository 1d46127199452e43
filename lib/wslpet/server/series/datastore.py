"""Datastore of DICOM series, from a folder or a PACS, and of the image files in the same folder.

A series is converted to SUV at its first use and kept in `.wslpet/series` (see `series.cache`). A series that cannot be
converted stays in the list, with the reason.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from wslpet.core.errors import DicomError, InputError
from wslpet.core.seeds import NO_TUMOUR
from wslpet.core.settings import Settings
from wslpet.data.state_folder import PRIVATE
from wslpet.io.dicom.derived.segmentation import Maker
from wslpet.server.errors import PacsError, quoted
from wslpet.server.series.cache import RULES, CachedSeries, SeriesCache
from wslpet.server.series.conversion import Conversion
from wslpet.server.series.segmentations import SegmentationExchange
from wslpet.server.series.series_list import SeriesList
from wslpet.server.series.sources.source import FACTS, SeriesSource
from wslpet.server.storage.images.image_list import FINAL

logger = logging.getLogger(__name__)


class SeriesDatastore(SeriesList):
    """A datastore of image files and of DICOM series, which are converted to SUV; parameters as in `SeriesList`."""

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
        self._conversion = Conversion(source, SeriesCache((state or Path(folder) / PRIVATE) / "series"))
        super().__init__(folder, settings, source, auto_reload, read_only, renamed, state, readers)
        self._exchange = SegmentationExchange(source, self.scans.volume)
        self.start_listing()
        for remark in self.remarks():
            logger.warning("%s", remark)

    def unusable(self) -> dict[str, str]:
        """As `SeededDatastore.unusable`, with the series that cannot be converted to SUV."""
        return {**super().unusable(), **self._conversion.refused()}

    def is_at_hand(self, image_id: str) -> bool:
        """Whether the image is a file, or a series that was converted before."""
        series = self._series(image_id)
        return self._entry(image_id) is not None if series is None else self._conversion.has(series)

    def get_image_uri(self, image_id: str) -> str:
        series = self._series(image_id)
        return super().get_image_uri(image_id) if series is None else str(self._conversion.get(series).image)

    def image_version(self, image_id: str) -> str:
        """As `AnnotatedImages.image_version`; for a series, its version on the source: it may have no file."""
        series = self._series(image_id)
        return super().image_version(image_id) if series is None else f"{series.uid} {series.version} {RULES}"

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        """Return information on an image. For a series this includes how its SUV is computed.

        That is: its UIDs, "suv" (factor, units, dose, times, weight) and "notes" (sentences on what was inferred); or
        "refused" with the reason why it cannot be converted, or "unavailable" if the PACS does not send it.
        """
        series = self._series(image_id)
        if series is None:
            return super().get_image_info(image_id)
        with self._guard:
            info = {**self._datastore.objects[image_id].image.info, **series.info()}
        try:
            converted = self._conversion.get(series)
            # 3D Slicer saves its download under "name", and chooses the reader by its extension.
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
        """Send the final label of a series to its source, and store its UID. Nothing is sent for "no tumour"."""
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

    def note_unusable(self, image_id: str, error: Exception) -> None:
        if not (isinstance(error, DicomError) and self.is_series(image_id)):  # the conversion keeps the reason
            super().note_unusable(image_id, error)

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

    def write_dicom_seg(self, image_id: str, mask: Path, names: Mapping[int, str], maker: Maker, path: Path) -> str:
        """Write a mask of a series as DICOM SEG. Returns the SEG's SeriesInstanceUID. Errors as `headers`."""
        return self._exchange.write(self._converted(image_id), mask, names, maker, path)

    def _converted(self, image_id: str) -> CachedSeries:
        """Return a series in SUV; errors as `headers`."""
        series = self._series(image_id)
        if series is None:
            raise InputError(
                f"image {quoted(image_id)} is a file, no DICOM series that a DICOM object could refer to; ask for "
                "nifti or csv, or serve the DICOM series"
            )
        return self._conversion.get(series)
