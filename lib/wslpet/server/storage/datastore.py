"""Datastore of a folder: images, labels and seeds.

Files in the studies folder, beside the images, `labels/<tag>/` and `datastore_v2.json` of MONAI Label:

    .wslpet/seeds.jsonl     every annotation, in order of arrival (see `annotations.seed_log`)
    .wslpet/store.lock      lock of the process that is changing the datastore
    .wslpet/projections/    MIPs with depth maps of scans that were used; the least recently used are deleted first
    .wslpet/prepared/       annotated patients on the network's grid, so that training again is quick; bounded
    .wslpet/model/          published weights and earlier ones (see `network.registry`), training statistics
    .wslpet/superseded/     labels and images that were replaced or removed, by time
"""

from __future__ import annotations

import logging
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from monailabel.datastore.local import DataModel, ImageLabelModel

from wslpet.core.atomic_io import sweep, sync_folder
from wslpet.core.errors import InputError
from wslpet.core.seeds import Annotation, Seed
from wslpet.core.settings import Settings
from wslpet.core.volume import Volume
from wslpet.data.state_folder import PRIVATE
from wslpet.io.cache.scan_key import scan_key
from wslpet.io.readers import ending, read_volume
from wslpet.method.inference.forward import NetworkOutput
from wslpet.method.inference.scan_cache import ScanCache
from wslpet.method.network.checkpoint import Model, best_device
from wslpet.method.projection.mip import Views
from wslpet.server.errors import Conflict, UnknownName, quoted
from wslpet.server.storage.annotations.label_seeds import LabelSeeds
from wslpet.server.storage.annotations.readings import Readings, same_reader
from wslpet.server.storage.annotations.seed_log import Known, SeedLog
from wslpet.server.storage.annotations.submitted_labels import annotation_from_label
from wslpet.server.storage.image_files import flat_name
from wslpet.server.storage.image_list import FINAL, ImageList
from wslpet.server.storage.remarks import UnusableImages, remarks, uncounted
from wslpet.server.storage.uploads import (
    SAFE_ID,
    SAFE_TAG,
    as_mapping,
    called,
    check_name,
    image_extension,
    same_content,
    written,
)

logger = logging.getLogger(__name__)


class SeededDatastore(ImageList):
    """Images in a folder, with their labels and seeds.

    Parameters
    ----------
    folder : the studies.
    settings : have the cancer types that are learned.
    renamed : former name of a cancer type → its name in the settings.
    state : for all that is written but uploaded images, labels included; None is `.wslpet` in the studies, with the
        labels and the list of images beside it.
    readers : per patient, each blind to the others; 1 is no blind reading.
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
        self.label_seeds = LabelSeeds(self)
        kept, converted = self.private / "projections", self.private / "series"
        self.scans = ScanCache(kept, device=best_device(), of=Path(folder), converted=converted)
        self.settings = settings
        self._unusable = UnusableImages(lambda image: self.image_version(image))  # overridden for series
        super().__init__(Path(folder), state, self.private, read_only)

    def record_seed(self, image_id: str, said: Annotation | Seed, known: Known | None = None) -> Annotation:
        """Add an annotation, unless it is recorded already; parameters, result and errors as `SeedLog.append`."""
        self.image_path(image_id)
        return self.seeds.append(image_id, said, known)

    def seeded(self) -> dict[str, Annotation]:
        """Image → the annotation that is learned from, of a type that counts, of an image that is there.

        It is the consensus of a reviewer; without one, the newest.
        """
        images, classes = set(self.list_images()), self.settings.classes
        newest = self.seeds.newest().items()
        return {image: said for image, said in newest if image in images and said.cancer_type in classes}

    def annotated(self) -> set[str]:
        """Images with an annotation that the training uses."""
        return set(self.seeded())

    def waiting(self, reader: str = "") -> list[str]:
        """Images for annotators, in alphabetical order; without those that are known to be unusable.

        Parameters
        ----------
        reader : who asks, where several readers read a patient: images that this one has not read yet.
        """
        usable = set(self.list_images()) - set(self.unusable())
        if self.readings.blind:
            return sorted(image for image in usable if self.readings.waits_for(image, reader))
        return sorted(usable - self.annotated())

    def to_review(self) -> list[str]:
        """Images with all readings that are needed and no consensus, in alphabetical order."""
        return sorted(image for image in self.list_images() if self.readings.of(image).to_review)

    def uncounted(self) -> dict[str, str]:
        """As `wslpet.server.storage.remarks.uncounted`."""
        return uncounted(self)

    def remarks(self) -> list[str]:
        """As `wslpet.server.storage.remarks.remarks`."""
        return remarks(self)

    def check_usable(self, image_id: str) -> None:
        """Read an image as every use of it does, and remember it as unusable if it is no PET scan in SUV.

        Raises
        ------
        InputError
            with the reason why it cannot be used.
        """
        try:
            self.views(image_id)
        except InputError as error:
            self.note_unusable(image_id, error)
            raise
        except Exception as error:  # whatever it is, the other images can be annotated meanwhile
            logger.exception("image %s cannot be read", image_id)
            self.note_unusable(image_id, error)
            raise InputError(f"image {quoted(image_id)} cannot be read ({error or type(error).__name__})") from error

    def note_unusable(self, image_id: str, error: Exception) -> None:
        """Remember why an image cannot be used, until its file changes. Errors of the server do not count."""
        self._unusable.note(image_id, error)

    def unusable(self) -> dict[str, str]:
        """Image → reason, of the images that are known to be unusable."""
        return self._unusable.reasons()

    def is_at_hand(self, image_id: str) -> bool:
        """Whether `image_path` answers without fetching the image."""
        return True

    def volume(self, image_id: Any) -> Volume:
        """The scan in SUV, as stored, read-only; errors as `image_path` and `wslpet.io.readers.read_volume`."""
        return self.scans.volume(self.image_path(image_id))

    def checkout(self, image_id: Any) -> AbstractContextManager[Volume]:
        """As `volume`, which stays in memory for as long as the block runs."""
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
        """MONAI Label's info and "seeds": a list, newest last, of cancer_type, index, position, user, time.

        It is empty until all have read the image, where several readers do, as nobody is known to ask.
        """
        path = self.image_path(image_id)
        with self._guard:
            info = super().get_image_info(image_id)
        # Slicer saves its download under this name.
        info |= {"path": str(path), "name": flat_name(image_id, ending(path.name))}
        here = self.readings.of(image_id)
        seeds = [] if self.readings.blind and not here.complete else self.seeds.get(image_id)
        return {**info, "seeds": [seed.to_dict() for seed in seeds]}

    def facts(self, image_id: str) -> dict[str, str]:
        """Facts about an image that need no reading: `FACTS` of a DICOM series; empty for a file."""
        return {}

    def notes(self, image_id: str) -> list[str]:
        """Inferences of the conversion to SUV, a sentence each; errors as `image_path`."""
        return []

    @property
    def trouble(self) -> str:
        """Why the list of images may be out of date; empty if it is not."""
        return ""

    def check_complete(self) -> None:
        """Raise the error that keeps the list of images from being complete."""

    def status(self) -> dict[str, Any]:
        """MONAI Label's counts; an image is complete if the training uses it.

        "remarks": sentences for the users; "left_out": file → reason, of files that are no image here, if any.
        """
        images, seeded = self.list_images(), self.seeded()  # without the lock: both may wait for a source
        with self._guard:
            tags = Counter(tag for image in self._datastore.objects.values() for tag in image.labels)
        return {
            "total": len(images),
            "completed": len(seeded),
            "label_tags": dict(tags),
            "seeded": len(seeded),
            **({"left_out": self.left_out} if self.left_out else {}),
            "remarks": self.remarks(),
        }

    def add_image(self, image_id: str, image_filename: str, image_info: Mapping[str, Any]) -> str:
        """Add an uploaded PET scan under a free name; it is read first."""
        source = Path(image_filename)
        extension = image_extension(source, "image")
        image_id = image_id or source.name[: -len(extension)]
        check_name("image", image_id, SAFE_ID)
        with called(source, f"{image_id}{extension}"):
            read_volume(source)
        with self._changing():
            target = self._images / f"{image_id}{extension}"
            if image_id in self._datastore.objects:
                if self.get_image_uri(image_id) == str(target) and same_content(source, target):
                    return image_id
                raise Conflict(f"image {quoted(image_id)} is there already; choose another name, or delete it first")
            self._install(source, target)
            info = {**as_mapping(image_info), "ts": int(time.time()), "name": target.name}
            self._datastore.objects[image_id] = ImageLabelModel(image=DataModel(info=info, ext=extension))
            self._update_datastore_file()
        return image_id

    def remove_image(self, image_id: str) -> None:
        path = self.get_image_uri(image_id)
        with self._changing():
            if path and Path(path).exists():
                self.scans.forget(Path(path))
            entry = self._datastore.objects.get(image_id)
            if entry is None:
                raise UnknownName(f"image {quoted(image_id)} is not in the datastore")
            for tag in list(entry.labels):
                self.remove_label(image_id, tag)
            file = self._images / f"{image_id}{entry.image.ext}"
            self._keep(file, "image", image_id)
            file.unlink(missing_ok=True)  # of a link, the link
            self.seeds.retire(image_id)
            self._reconcile_datastore()

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: Mapping[str, Any]) -> str:
        """Store a mask. The final one, which an annotator submitted, is also recorded as an annotation."""
        check_name("tag", label_tag, SAFE_TAG)
        source, info = Path(label_filename), dict(as_mapping(label_info))
        extension = image_extension(source, "label")
        image = self.image_path(image_id)
        said = None
        if label_tag == FINAL:
            volume = self.scans.volume(image)
            with called(source, f"{label_tag} of {image_id}{extension}"):
                user = str(info.get("user") or info.get("client_id") or "unknown")[:100]
                before = next(iter(self.readings.known_before(image_id, user)[-1:]), None)
                said = annotation_from_label(source, volume, info, self.settings, self.renamed, before)
        with self._changing():
            target = self._label_file(image_id, label_tag, extension)
            label = self._datastore.objects[image_id].labels.get(label_tag)
            info |= {"ts": int(time.time()), "name": target.name}
            self._datastore.objects[image_id].labels[label_tag] = DataModel(info=info, ext=extension)
            with self._listed(), written(target) as staged:
                shutil.copyfile(source, staged)
                if label is not None:
                    old = self._label_file(image_id, label_tag, label.ext)
                    self._keep(old, label_tag, image_id)
                # Recorded last: an earlier failure records nothing, and the steps after this one need no disk space.
                if said is not None:
                    self.seeds.append(image_id, said)
            if label is not None and label.ext != extension:
                old.unlink(missing_ok=True)
        return image_id

    def remove_label(self, label_id: str, label_tag: str) -> None:
        with self._changing():
            if self._datastore.label(label_id, label_tag) is None:
                raise UnknownName(f"label {quoted(label_tag)} of image {quoted(label_id)} does not exist")
            with self._label_removed(label_id, label_tag):
                pass

    def withdraw(self, image_id: str, time: str, user: str, all_of_them: bool = False) -> None:
        """As `SeedLog.withdraw`. With all annotations the final label is removed, too; both or neither.

        Raises
        ------
        InputError
            if the final label is on a PACS, where it cannot be deleted; and as `SeedLog.withdraw`.
        """
        with self._changing():
            labelled = all_of_them and self._datastore.label(image_id, FINAL) is not None
            with self._label_removed(image_id, FINAL) if labelled else nullcontext():
                own = partial(same_reader, user) if self.readings.blind and not all_of_them else None
                self.seeds.withdraw(image_id, time, user, all_of_them, own)

    @contextmanager
    def _label_removed(self, image_id: str, tag: str) -> Iterator[None]:
        """Move a label to `superseded`; it is moved back if the block fails."""
        self._check_removable(image_id, tag)
        path = Path(SeededDatastore.get_label_uri(self, image_id, tag))
        kept = self._keep(path, tag, image_id)
        path.unlink(missing_ok=True)
        try:
            yield
        except BaseException:
            if kept is not None:
                shutil.move(kept, path)
            raise
        self._reconcile_datastore()

    def _check_removable(self, image_id: str, tag: str) -> None:
        """Raise InputError for a label that cannot be removed here."""

    def _spoken_of(self) -> Mapping[str, int]:
        return self.seeds.counts()[0]
