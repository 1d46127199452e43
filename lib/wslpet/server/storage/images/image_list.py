"""MONAI Label's list of images and labels, with files that are whole after a kill.

MONAI Label's own class holds the list in memory and rewrites its file in place; with two processes on one folder the
later writer undoes the earlier. Here every change holds a thread lock and a file lock, reads the list anew, and
replaces the file in one step.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from filelock import FileLock
from monailabel.datastore.local import DataModel, ImageLabelModel, LocalDatastore
from monailabel.interfaces.datastore import DefaultLabelTag

from wslpet.core.atomic_io import ThreadLock, locked
from wslpet.core.errors import InputError
from wslpet.io.folders import Tree, look_into
from wslpet.io.readers import ending
from wslpet.server.errors import UnknownName, quoted
from wslpet.server.storage.images.image_files import IMAGE_ENDS, NOT_STUDIES, flat_name, image_files
from wslpet.server.storage.images.uploads import as_mapping, written

logger = logging.getLogger(__name__)

FINAL = DefaultLabelTag.FINAL.value


class ImageList(LocalDatastore):
    """Images in a folder, and their labels.

    Parameters
    ----------
    images : the folder.
    state : for labels and the list of images; None is the folder of images.
    private : for locks and what is replaced or removed.
    """

    def __init__(self, images: Path, state: Path | None, private: Path, read_only: bool) -> None:
        self._images = images.resolve()
        self._tree, self._left_out = Tree(), dict[str, str]()
        self._guard = ThreadLock("the list of images")
        self._between_processes = FileLock(private / "store.lock")
        self._superseded = private / "superseded"
        self._labels_beside = None if state is None else self._images / "labels" / FINAL
        super().__init__(
            str((images if state is None else state).resolve()),
            images_dir="." if state is None else str(self._images),
            extensions=[f"*{end}" for end in IMAGE_ENDS],
            auto_reload=False,
            read_only=read_only,
        )

    def _annotation_counts(self) -> Mapping[str, int]:
        """Image → number of records in the log. Labels of these images are not taken over."""
        return {}

    def _entry(self, image_id: str) -> ImageLabelModel | None:
        """The entry of an image, None when there is none; takes the lock only when the first look finds none.

        So a request for an image does not wait while thousands are listed. An image that is missing may be there again
        when the listing ends.
        """
        entry = self._datastore.objects.get(image_id)
        if entry is None:
            with self._guard:
                entry = self._datastore.objects.get(image_id)
        return entry

    def image_path(self, image_id: Any) -> Path:
        """The image's file; raises UnknownName when there is no such image."""
        path = self.get_image_uri(image_id) if isinstance(image_id, str) else ""
        if not path:
            raise UnknownName(
                f"image {quoted(image_id)} is not in the datastore; GET /datastore/?output=all lists them"
            )
        return Path(path)

    def list_images(self) -> list[str]:
        with self._guard:
            images: list[str] = super().list_images()
            return images

    def get_labeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        with self._guard:
            labelled: list[str] = super().get_labeled_images(label_tag, labels)
            return labelled

    def get_image_uri(self, image_id: str) -> str:
        """The file by its name in the studies folder, whose ending tells what it is; a link's target may have none."""
        entry = self._entry(image_id)
        return "" if entry is None else str(self._images / f"{image_id}{entry.image.ext}")

    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        label = self._datastore.label(label_id, label_tag)
        return "" if label is None else str(self._label_file(label_id, label_tag, label.ext))

    def _label_file(self, image_id: str, tag: str, extension: str) -> Path:
        return Path(self._datastore.label_path(tag)).resolve() / f"{image_id}{extension}"

    def label_file(self, image_id: str, tag: str) -> str:
        """Where a label is kept, or would be; nothing is fetched."""
        return str(LocalDatastore.get_label_uri(self, image_id, tag))

    @property
    def left_out(self) -> dict[str, str]:
        """What lies in the studies folder and is no image → why; paths from that folder on."""
        return dict(self._left_out)

    def get_dataset_archive(self, limit_cases: int | None) -> str:
        """MONAI Label's, but for the names in it, which are those of the images: two may end alike."""
        labelled = self.get_labeled_images()[:limit_cases]
        if not labelled:
            raise InputError("no image has a final label, so there is nothing to archive; submit labels first")
        with tempfile.NamedTemporaryFile(delete=False) as file, zipfile.ZipFile(file, "x") as archive:
            for image_id in labelled:
                image = self.image_path(image_id)
                label = Path(self.get_label_uri(image_id, FINAL))
                archive.write(image, f"image/{image_id}{ending(image.name)}")
                archive.write(label, f"label/{image_id}{ending(label.name)}")
            archive.writestr("metadata.json", self._datastore.model_dump_json(exclude={"base_path"}))
        return file.name

    def update_image_info(self, image_id: str, info: Mapping[str, Any]) -> None:
        with self._changing():
            super().update_image_info(image_id, {k: v for k, v in as_mapping(info).items() if k != "seeds"})

    def update_label_info(self, label_id: str, label_tag: str, info: Mapping[str, Any]) -> None:
        with self._changing():
            super().update_label_info(label_id, label_tag, dict(as_mapping(info)))

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Alone among threads and processes, with the list of images as it is on disk."""
        with self._guard, locked(self._between_processes):
            self._init_from_datastore_file()
            try:
                yield
            except BaseException:
                self._init_from_datastore_file()  # what failed is not there
                raise

    def _install(self, source: Path, target: Path) -> None:
        with written(target) as staged:
            shutil.copyfile(source, staged)

    @contextmanager
    def _listed(self) -> Iterator[None]:
        """Write the list of images as it is now; it takes effect after the block, if that ends without an error."""
        with written(Path(self._datastore_config_path)) as staged:
            staged.write_text(self._datastore.model_dump_json(exclude={"base_path"}, indent=2), encoding="utf-8")
            yield
        self._config_ts = os.stat(self._datastore_config_path).st_mtime

    def _keep(self, file: Path, what: str, image_id: str) -> Path | None:
        """Copy a file that is about to be replaced or removed; `what` is a label's tag, or "image".

        Returns
        -------
        the copy; None when there is no such file.
        """
        if not file.exists():
            return None
        now = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%f")
        copy = self._superseded / f"{now}-{what}" / f"{image_id}{ending(file.name)}"
        self._install(file, copy)
        return copy

    def _reconcile_datastore(self) -> None:
        with self._guard, locked(self._between_processes):
            self._init_from_datastore_file()
            self._tree = look_into(self._images, NOT_STUDIES)
            self._take_over_labels()
            super()._reconcile_datastore()

    def _take_over_labels(self) -> None:
        """Copy final labels that lie beside the studies, where those of the server lie elsewhere; each once."""
        if self._labels_beside is None or not self._labels_beside.is_dir():
            return
        own, annotated = Path(self._datastore.label_path(FINAL)), self._annotation_counts()
        for name in self._list_files(self._labels_beside, self._extensions):
            if self._to_id(name)[0] not in annotated and not (own / name).exists():
                self._install(self._labels_beside / name, own / name)

    def _remove_non_existing(self) -> int:
        """MONAI Label's, which asks the disk for each part of each file's path; this reads the folders."""
        self._init_from_datastore_file()
        objects, removed = self._datastore.objects, 0
        images, self._left_out = self._image_files()
        labels = {tag: set(self._labels_of(tag)) for tag in self._datastore.tags()}
        for image_id, entry in list(objects.items()):
            elsewhere = self._elsewhere(entry)
            if entry.image not in elsewhere and images.get(image_id) != entry.image.ext:
                del objects[image_id]
                removed += 1
                continue
            for tag, label in list(entry.labels.items()):
                if label not in elsewhere and f"{image_id}{label.ext}" not in labels[tag]:
                    del entry.labels[tag]
                    removed += 1
        return removed

    def _image_files(self) -> tuple[dict[str, str], dict[str, str]]:
        images, left_out = image_files(self._tree, {i: e.image.ext for i, e in self._datastore.objects.items()})
        for name, why in left_out.items():
            if self._left_out.get(name) != why:
                logger.warning("left out: %s: %s", name, why)
        return images, left_out

    def _labels_of(self, tag: str) -> list[str]:
        return look_into(Path(self._datastore.label_path(tag))).files

    def _elsewhere(self, entry: ImageLabelModel) -> list[DataModel]:
        """What is listed of an image though no file of it has to be here."""
        return []

    def _add_non_existing_images(self) -> int:
        """MONAI Label's, which looks each file up among all that are known, and into no folder below."""
        self._init_from_datastore_file()
        objects, added = self._datastore.objects, 0
        for image_id, extension in self._image_files()[0].items():
            if image_id not in objects:
                info = {"ts": int(time.time()), "name": flat_name(image_id, extension)}
                objects[image_id] = ImageLabelModel(image=DataModel(info=info, ext=extension))
                added += 1
        return added

    def _list_files(self, path: str, patterns: Any) -> dict[str, str]:
        """MONAI Label's, for labels, which lie as deep as their images."""
        return {name: name for name in look_into(Path(path)).files if ending(name).lower() in IMAGE_ENDS}

    def _to_id(self, file: str) -> tuple[str, str]:
        end = ending(file)
        return file[: len(file) - len(end)], end

    def _update_datastore_file(self, lock: bool = True) -> None:
        # Called under `_changing`, so MONAI Label's own lock (lock=True) adds nothing.
        with self._listed():
            pass
