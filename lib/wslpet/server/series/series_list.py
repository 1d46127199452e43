"""Datastore whose list of images includes the DICOM series of a source: a folder or a PACS."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from monailabel.datastore.local import DataModel, ImageLabelModel

from wslpet.core.settings import Settings
from wslpet.io.folders import look_into
from wslpet.server.series.listing import Listing
from wslpet.server.series.segmentations import SERIES, list_segmentation
from wslpet.server.series.sources.source import FoundSeries, SeriesSource, is_uid
from wslpet.server.storage.datastore import SeededDatastore
from wslpet.server.storage.images.folder_watch import Changes

# The start of the server waits this long for the first search of the source.
START_SECONDS = 30.0


class SeriesList(SeededDatastore):
    """A datastore that lists image files, and each DICOM series of a source under its SeriesInstanceUID.

    Parameters
    ----------
    source : where the series come from.
    auto_reload : whether to search for new images while the server runs.
    folder, settings, read_only, renamed, state, readers : as in `AnnotatedImages`.
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
        super().__init__(folder, settings, read_only, renamed, state, readers)
        self._changes = Changes(self._folders)
        self._listing = Listing(self._update_list, source.fresh_seconds if auto_reload else math.inf)

    def start_listing(self) -> None:
        """Search the source for the first time, and convert labels to seeds; waits up to `START_SECONDS` for each."""
        self._listing.renew(START_SECONDS)
        self.label_seeds.renew(START_SECONDS)

    def name(self) -> str:
        return self._source.name

    def list_images(self) -> list[str]:
        self._listing.renew()
        return super().list_images()

    def image_path(self, image_id: Any) -> Path:
        """Return the image's file in SUV. A series is fetched and converted at its first use.

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

    def status(self) -> dict[str, Any]:
        """As `SeededDatastore.status`, with "trouble" if the source does not answer."""
        self._listing.renew()
        status = super().status()
        return {**status, "trouble": self.trouble} if self.trouble else status

    @property
    def left_out(self) -> dict[str, str]:
        """As `ImageList.left_out`, with the series and files that the source leaves out."""
        return {**super().left_out, **self._source.left_out}

    @property
    def trouble(self) -> str:
        return "" if self._listing.trouble is None else str(self._listing.trouble)

    def check_complete(self) -> None:
        if self._listing.trouble is not None:
            raise self._listing.trouble

    def facts(self, image_id: str) -> dict[str, str]:
        series = self._series(image_id)
        return {} if series is None else series.facts

    def is_series(self, image_id: str) -> bool:
        return self._series(image_id) is not None

    @property
    def source(self) -> SeriesSource:
        """Source of the series."""
        return self._source

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
