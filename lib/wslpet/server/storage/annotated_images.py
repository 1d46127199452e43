"""Images in a folder with their annotations: what can be asked of them.

Files in the studies folder, beside the images, `labels/<tag>/` and `datastore_v2.json` of MONAI Label:

    .wslpet/seeds.jsonl     every annotation, in order of arrival (see `annotations.seed_log`)
    .wslpet/store.lock      lock of the process that is changing the datastore
    .wslpet/projections/    MIPs with depth maps of scans that were used; the least recently used are deleted first
    .wslpet/prepared/       annotated patients on the network's grid, for the next training; bounded
    .wslpet/model/          published weights and earlier ones (see `network.registry`), training statistics
    .wslpet/normal_uptake.npz  the site's atlas of normal uptake, see `tasks.normal_uptake`
    .wslpet/superseded/     labels and images that were replaced or removed, by time
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from wslpet.core.atomic_io import sweep, sync_folder
from wslpet.core.errors import InputError
from wslpet.core.seeds import Annotation
from wslpet.core.settings import Settings
from wslpet.core.volume import Volume
from wslpet.data.state_folder import PRIVATE
from wslpet.io.cache.scan_key import scan_key
from wslpet.io.readers import ending
from wslpet.method.inference.forward import NetworkOutput
from wslpet.method.inference.scan_cache import ScanCache
from wslpet.method.network.checkpoint import Model, best_device
from wslpet.method.projection.mip import Views
from wslpet.server.errors import quoted
from wslpet.server.storage.annotations.readings import Readings
from wslpet.server.storage.annotations.seed_log import SeedLog
from wslpet.server.storage.images.image_files import flat_name
from wslpet.server.storage.images.image_list import ImageList
from wslpet.server.storage.images.unusable import UnusableImages

logger = logging.getLogger(__name__)


class AnnotatedImages(ImageList):
    """Images in a folder, read as volumes, with the annotations of the seed log.

    Parameters
    ----------
    folder : the studies folder.
    settings : settings of the method, with the cancer types.
    read_only : whether MONAI Label refuses changes.
    renamed : former name of a cancer type → its name in the settings.
    state : folder for all files that the server writes, labels included, except uploaded images. None: `.wslpet` in
        the studies folder, with the labels and the list of images beside it.
    readers : number of readers per patient. With more than 1, a reader does not see the others' readings.
    """

    def __init__(
        self,
        folder: str,
        settings: Settings,
        read_only: bool = False,
        renamed: Mapping[str, str] | None = None,
        state: Path | None = None,
        readers: int = 1,
    ) -> None:
        self.private = Path(folder) / PRIVATE if state is None else state
        self.private.mkdir(parents=True, exist_ok=True)
        place = Path(folder) if state is None else state
        sync_folder(place)
        sweep(place)
        self.renamed = dict(renamed or {})
        self.seeds = SeedLog(self.private / "seeds.jsonl", self.renamed)
        self.readings = Readings(self.seeds, readers)
        kept, converted = self.private / "projections", self.private / "series"
        self.scans = ScanCache(kept, device=best_device(), of=Path(folder), converted=converted)
        self.settings = settings
        self._unusable = UnusableImages(lambda image: self.image_version(image))  # a series overrides it
        super().__init__(Path(folder), state, self.private, read_only)

    def seeded(self) -> dict[str, Annotation]:
        """Image → the annotation in force, of the images that a training uses.

        These images are in the list, and their annotation has a configured cancer type. The annotation in force is the
        consensus of a reviewer or, without one, the newest annotation.
        """
        images, classes = set(self.list_images()), self.settings.classes
        in_force = self.seeds.newest().items()
        return {image: one for image, one in in_force if image in images and one.cancer_type in classes}

    def annotated(self) -> set[str]:
        """Images with an annotation that the training uses."""
        return set(self.seeded())

    def waiting(self, reader: str = "") -> list[str]:
        """Images that are still to be annotated and not known to be unusable, in the order of `by_name`.

        Parameters
        ----------
        reader : name of the reader who asks; with several readers per patient, the images that this one has not read.
        """
        usable = set(self.list_images()) - set(self.unusable())
        if self.readings.blind:
            return self.by_name(image for image in usable if self.readings.waits_for(image, reader))
        return self.by_name(usable - self.annotated())

    def to_review(self) -> list[str]:
        """Images with all readings and without a consensus, in the order of `by_name`."""
        return self.by_name(image for image in self.list_images() if self.readings.of(image).to_review)

    def title(self, image_id: str) -> str:
        """What a reader knows an image by: patient, date and description of a series; the name of a file."""
        facts = self.facts(image_id)
        described = [facts[key] for key in ("PatientID", "StudyDate", "SeriesDescription") if facts.get(key)]
        return " · ".join(described) or image_id

    def by_name(self, images: Iterable[str]) -> list[str]:
        """Sort images by title as people do, patient 2 before patient 10, as the page's cohort does."""
        return sorted(images, key=lambda image: (_natural(self.title(image)), _natural(image)))

    def check_usable(self, image_id: str) -> None:
        """Read an image, and remember it as unusable if it is not a PET scan in SUV.

        Raises
        ------
        InputError
            with the reason why the image cannot be used.
        """
        try:
            self.views(image_id)
        except InputError as error:
            self.note_unusable(image_id, error)
            raise
        except Exception as error:  # one damaged file must not keep the other images from being annotated
            logger.exception("image %s cannot be read", image_id)
            self.note_unusable(image_id, error)
            raise InputError(f"image {quoted(image_id)} cannot be read ({error or type(error).__name__})") from error

    def note_unusable(self, image_id: str, error: Exception) -> None:
        """Remember why an image cannot be used, until its file changes; errors of the server are ignored."""
        self._unusable.note(image_id, error)

    def unusable(self) -> dict[str, str]:
        """Image → reason, of the images that are known to be unusable."""
        return self._unusable.reasons()

    def is_at_hand(self, image_id: str) -> bool:
        """Whether `image_path` answers without fetching the image."""
        return True

    def volume(self, image_id: Any) -> Volume:
        """Return the scan in SUV, as stored, read-only; errors as `image_path` and `wslpet.io.readers.read_volume`."""
        return self.scans.volume(self.image_path(image_id))

    def checkout(self, image_id: Any) -> AbstractContextManager[Volume]:
        """Context manager: as `volume`; the scan stays in memory while the block runs."""
        return self.scans.checkout(self.image_path(image_id))

    def views(self, image_id: Any) -> Views:
        """The scan's two MIPs, in RAS; errors as `volume`."""
        return self.scans.views(self.image_path(image_id))

    def network_output(self, image_id: Any, model: Model) -> NetworkOutput:
        """Output of a model for the scan's MIPs; errors as `volume`."""
        return self.scans.network_output(self.image_path(image_id), model)

    def image_version(self, image_id: str) -> str:
        """The image's key in every cache, which changes with its file; errors as `image_path` and `scan_key`."""
        return scan_key(self.image_path(image_id))

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        """MONAI Label's info of an image, and "seeds": its annotations as dictionaries, the one in force last.

        With several readers, "seeds" is empty until all have read the image, since it is not known who asks.
        """
        path = self.image_path(image_id)
        with self._guard:
            info = super().get_image_info(image_id)
        # 3D Slicer saves its download under "name".
        info |= {"path": str(path), "name": flat_name(image_id, ending(path.name))}
        here = self.readings.of(image_id)
        seeds = [] if self.readings.blind and not here.complete else self.seeds.get(image_id)
        return {**info, "seeds": [seed.to_dict() for seed in seeds]}

    def facts(self, image_id: str) -> dict[str, str]:
        """Header elements of a DICOM series (`FACTS`), without reading it; empty for a file."""
        return {}

    def notes(self, image_id: str) -> list[str]:
        """Sentences on what was inferred for the conversion to SUV; errors as `image_path`."""
        return []

    @property
    def trouble(self) -> str:
        """Why the list of images may be out of date; "" if it is up to date."""
        return ""

    def check_complete(self) -> None:
        """Raise the error that keeps the list of images from being complete, if there is one."""

    def _annotation_counts(self) -> Mapping[str, int]:
        return self.seeds.counts()[0]


def _natural(text: str) -> list[str | int]:
    """Text and numbers of a text, in turns."""
    parts = re.split("([0-9]+)", text.casefold())
    return [int(part) if odd % 2 else part for odd, part in enumerate(parts)]
