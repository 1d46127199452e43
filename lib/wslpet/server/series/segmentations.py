"""Labels of DICOM series as DICOM SEG: sent to the PACS, listed there, and fetched from there."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from monailabel.datastore.local import DataModel, ImageLabelModel

from wslpet.core.atomic_io import replacing
from wslpet.core.errors import InputError
from wslpet.core.volume import Volume
from wslpet.io.dicom.derived.segmentation import Maker, read_segmentation
from wslpet.io.masks import read_mask, write_mask
from wslpet.server.series.cache import CachedSeries
from wslpet.server.series.sources.source import FoundSegmentation, SeriesSource
from wslpet.server.storage.images.image_list import FINAL

# The "extension" of an image that is a series, in the list of images.
SERIES = ".dcm"
_LABEL = ".nii.gz"


class SegmentationExchange:
    """Sends labels of series to their source, and fetches them from it.

    Parameters
    ----------
    source : a folder or a PACS.
    volume : (path) → the scan in SUV.
    """

    def __init__(self, source: SeriesSource, volume: Callable[[Path], Volume]) -> None:
        self._source = source
        self._volume = volume

    def write(self, series: CachedSeries, mask: Path, names: Mapping[int, str], maker: Maker, path: Path) -> str:
        """Write a mask of a series as DICOM SEG to `path`. Returns the SEG's SeriesInstanceUID."""
        from wslpet.io.dicom.derived.segmentation_writing import write_segmentation  # slow to import

        grid = self._volume(series.image)
        return write_segmentation(read_mask(mask), grid, series.headers(), names, maker, path)

    def send(self, series: CachedSeries, mask: Path, cancer_type: str, person: str) -> str:
        """Send a submitted label to the source. Returns the SEG's SeriesInstanceUID.

        Raises
        ------
        InputError
            if the mask cannot be a SEG.
        PacsError
            if the PACS does not accept it.
        """
        names = {int(value): cancer_type for value in np.unique(read_mask(mask).array) if value}
        with tempfile.TemporaryDirectory(prefix="wslpet-") as scratch:
            path = Path(scratch) / "label.dcm"
            try:
                uid = self.write(series, mask, names, Maker("MANUAL", person=person), path)
                self._source.store(path)
            except InputError as error:
                raise type(error)(
                    f"{error}. The label and its seed are kept on this server, not on the PACS; submit it again"
                ) from error
        return uid

    def fetch(self, study: str, uid: str, series: CachedSeries, values: Mapping[str, int], target: Path) -> None:
        """Fetch a SEG, and write it to `target` as a mask on the grid of its series.

        Parameters
        ----------
        study, uid : StudyInstanceUID and SeriesInstanceUID of the SEG.
        series : the series that it segments.
        values : name of a segment → label value.
        """
        grid = self._volume(series.image)
        with tempfile.TemporaryDirectory(prefix="wslpet-") as scratch:
            fetched, mask = Path(scratch) / "segmentation.dcm", Path(scratch) / f"mask{_LABEL}"
            self._source.fetch_segmentation(study, uid, fetched)
            write_mask(read_segmentation(fetched, grid, values), mask)
            with replacing(target) as temporary:
                temporary.write_bytes(mask.read_bytes())


def list_segmentation(entry: ImageLabelModel, found: FoundSegmentation | None, asked: int) -> None:
    """Enter the newest SEG of the source as a series' final label, unless one was submitted here.

    Parameters
    ----------
    entry : of the series in the list of images; it is changed.
    found : None if the source has no SEG of the series.
    asked : time (s) of the search.
    """
    label = entry.labels.get(FINAL)
    if found is not None and label is None and entry.image.ext == SERIES:
        info = {"SeriesInstanceUID": found.uid, "StudyInstanceUID": found.study, "Modality": "SEG"}
        entry.labels[FINAL] = DataModel(ext=_LABEL, info={**info, "ts": int(time.time())})
    # A label that was submitted after the search may be on the source by now.
    elif found is None and label is not None and label.info.get("ts", 0) < asked:
        label.info.pop("SeriesInstanceUID", None)
