"""MONAI Label's list of images and labels, written atomically and locked between processes.

MONAI Label's own class keeps the list in memory and rewrites its file in place, so that the later of two processes
undoes the changes of the earlier one. Here every change holds a lock between threads and one between processes, reads
the list from disk, and replaces the file atomically.
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
    images : folder of the images.
    state : folder of the labels and of the list of images; None for the folder of the images.
    private : folder of locks and of replaced or removed files.
    read_only : whether MONAI Label refuses changes.
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
        """Return the entry of an image, or None. The lock is taken only if the image is not found without it.

        A request for an image therefore does not wait while thousands of images are listed. An image that is missing
        during a listing may be there when the listing ends.
        """
        entry = self._datastore.objects.get(image_id)
        if entry is None:
            with self._guard:
                entry = self._datastore.objects.get(image_id)
        return entry

    def image_path(self, image_id: Any) -> Path:
        """Return the image's file. Raises UnknownName if there is no such image."""
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
        """Path of the image's file in the studies folder. Links are kept: the target may have another file ending."""
        entry = self._entry(image_id)
        return "" if entry is None else str(self._images / f"{image_id}{entry.image.ext}")

    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        label = self._datastore.label(label_id, label_tag)
        return "" if label is None else str(self._label_file(label_id, label_tag, label.ext))

    def _label_file(self, image_id: str, tag: str, extension: str) -> Path:
        return Path(self._datastore.label_path(tag)).resolve() / f"{image_id}{extension}"

    def label_file(self, image_id: str, tag: str) -> str:
        """Path of a label's file, which may not exist yet; nothing is fetched."""
        return str(LocalDatastore.get_label_uri(self, image_id, tag))

    @property
    def left_out(self) -> dict[str, str]:
        """Path in the studies folder → why it is not listed as an image."""
        return dict(self._left_out)

    def get_dataset_archive(self, limit_cases: int | None) -> str:
        """MONAI Label's archive, with the images' names as paths, since two images may have the same file name."""
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
        """Context manager: hold the locks between threads and processes, with the list of images read from disk."""
        with self._guard, locked(self._between_processes):
            self._init_from_datastore_file()
            try:
                yield
            except BaseException:
                self._init_from_datastore_file()  # drop the change that failed
                raise

    def _install(self, source: Path, target: Path) -> None:
        with written(target) as staged:
            shutil.copyfile(source, staged)

    @contextmanager
    def _listed(self) -> Iterator[None]:
        """Context manager: write the list of images; the file is replaced if the block raises nothing."""
        with written(Path(self._datastore_config_path)) as staged:
            staged.write_text(self._datastore.model_dump_json(exclude={"base_path"}, indent=2), encoding="utf-8")
            yield
        self._config_ts = os.stat(self._datastore_config_path).st_mtime

    def _keep(self, file: Path, what: str, image_id: str) -> Path | None:
        """Copy a file that is about to be replaced or removed; `what` is a label's tag, or "image".

        Returns
        -------
        the copy; None if the file does not exist.
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
        """Copy final labels beside the studies, each once, if the server keeps its labels in another folder."""
        if self._labels_beside is None or not self._labels_beside.is_dir():
            return
        own, annotated = Path(self._datastore.label_path(FINAL)), self._annotation_counts()
        for name in self._list_files(self._labels_beside, self._extensions):
            if self._to_id(name)[0] not in annotated and not (own / name).exists():
                self._install(self._labels_beside / name, own / name)

    def _remove_non_existing(self) -> int:
        """As MONAI Label's method, which asks the disk for each part of each path; this one lists each folder once."""
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
        """Entries of an image that need no file on this server."""
        return []

    def _add_non_existing_images(self) -> int:
        """As MONAI Label's method, which ignores subfolders and searches the whole list for each file."""
        self._init_from_datastore_file()
        objects, added = self._datastore.objects, 0
        for image_id, extension in self._image_files()[0].items():
            if image_id not in objects:
                info = {"ts": int(time.time()), "name": flat_name(image_id, extension)}
                objects[image_id] = ImageLabelModel(image=DataModel(info=info, ext=extension))
                added += 1
        return added

    def _list_files(self, path: str, patterns: Any) -> dict[str, str]:
        """As MONAI Label's method, for labels in subfolders, too."""
        return {name: name for name in look_into(Path(path)).files if ending(name).lower() in IMAGE_ENDS}

    def _to_id(self, file: str) -> tuple[str, str]:
        end = ending(file)
        return file[: len(file) - len(end)], end

    def _update_datastore_file(self, lock: bool = True) -> None:
        # `_changing` holds the lock already, so that MONAI Label's own (lock=True) is not needed.
        with self._listed():
            pass
