"""Datastore of a folder: changes of its images, labels and annotations."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from monailabel.datastore.local import DataModel, ImageLabelModel

from wslpet.core.settings import Settings
from wslpet.io.readers import read_volume
from wslpet.server.errors import Conflict, UnknownName, quoted
from wslpet.server.storage.annotated_images import AnnotatedImages
from wslpet.server.storage.annotations.label_seeds import LabelSeeds
from wslpet.server.storage.annotations.readings import same_reader
from wslpet.server.storage.annotations.submitted_labels import annotation_from_label
from wslpet.server.storage.images.image_list import FINAL, ImageList
from wslpet.server.storage.images.uploads import (
    SAFE_ID,
    SAFE_TAG,
    as_mapping,
    called,
    check_name,
    image_extension,
    same_content,
    written,
)
from wslpet.server.storage.remarks import remarks, uncounted


class SeededDatastore(AnnotatedImages):
    """Images in a folder, with their labels and annotations; parameters as in `AnnotatedImages`."""

    def __init__(
        self,
        folder: str,
        settings: Settings,
        read_only: bool = False,
        renamed: Mapping[str, str] | None = None,
        state: Path | None = None,
        readers: int = 1,
    ) -> None:
        super().__init__(folder, settings, read_only, renamed, state, readers)
        self.label_seeds = LabelSeeds(self)

    def uncounted(self) -> dict[str, str]:
        """As `wslpet.server.storage.remarks.uncounted`."""
        return uncounted(self, self.label_seeds)

    def remarks(self) -> list[str]:
        """As `wslpet.server.storage.remarks.remarks`."""
        return remarks(self, self.label_seeds)

    def status(self) -> dict[str, Any]:
        """MONAI Label's counts. An image counts as completed if the training uses its annotation.

        Also "remarks", sentences for the users, and "left_out": file → reason why it is not listed as an image.
        """
        images, seeded = self.list_images(), self.seeded()  # without the lock: both may wait for a PACS
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
        """Add an uploaded PET scan, if it can be read.

        Returns
        -------
        the image's name.

        Raises
        ------
        InputError
            if the name is not safe, or the scan cannot be used.
        Conflict
            if another image has this name.
        """
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
            file.unlink(missing_ok=True)  # removes a link, not its target
            self.seeds.retire(image_id)
            self._reconcile_datastore()

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: Mapping[str, Any]) -> str:
        """Store a mask. The final one, which an annotator submitted, is also recorded as an annotation.

        Raises
        ------
        InputError
            if the tag is not safe, or the mask cannot be used; nothing is stored.
        StorageError
            if the disk refuses it; nothing is stored.
        """
        check_name("tag", label_tag, SAFE_TAG)
        source, info = Path(label_filename), dict(as_mapping(label_info))
        extension = image_extension(source, "label")
        image = self.image_path(image_id)
        annotation = None
        if label_tag == FINAL:
            volume = self.scans.volume(image)
            with called(source, f"{label_tag} of {image_id}{extension}"):
                user = str(info.get("user") or info.get("client_id") or "unknown")[:100]
                before = next(iter(self.readings.known_before(image_id, user)[-1:]), None)
                annotation = annotation_from_label(source, volume, info, self.settings, self.renamed, before)
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
                # The annotation is recorded last, so that a failure before it records nothing. The steps after it
                # need no disk space.
                if annotation is not None:
                    self.seeds.append(image_id, annotation)
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
        """Withdraw as `SeedLog.withdraw`; `all_of_them` also removes the final label: both or neither.

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
        """Context manager: move a label to `superseded`, and move it back if the block raises."""
        self._check_removable(image_id, tag)
        path = Path(ImageList.get_label_uri(self, image_id, tag))
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
        """Raise InputError if the label cannot be removed on this server."""
