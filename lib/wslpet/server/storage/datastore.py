"""A local datastore that knows seeds, and whose files are whole after a kill.

What it keeps in the studies folder, beside the images, `labels/<tag>/` and `datastore_v2.json` of MONAI Label:

    .wslpet/seeds.jsonl     every annotation, in the order it came (see `seedlog`)
    .wslpet/store.lock      held by whichever process is changing the datastore
    .wslpet/projections/    MIPs with depth maps of scans that were used, least recently used gone first
    .wslpet/prepared/       annotated patients on the network's grid, so that training again is quick
    .wslpet/model/          published weights, those before them (see `network.registry`), training statistics
    .wslpet/superseded/     labels and images that were replaced or removed, by the time when they were

MONAI Label's own class holds the list of images in memory and rewrites its file in place; with two processes on one
folder the later writer undoes the earlier. Here every change holds a thread lock and a file lock, reads the list anew,
and replaces the file in one step.
"""

from __future__ import annotations

import filecmp
import hashlib
import logging
import os
import re
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from filelock import FileLock
from monailabel.datastore.local import DataModel, ImageLabelModel, LocalDatastore
from monailabel.interfaces.datastore import DefaultLabelTag

from wslpet.core.atomic_io import replacing, sweep, sync_folder
from wslpet.core.errors import InputError
from wslpet.core.seeds import Seed
from wslpet.core.settings import Settings
from wslpet.core.volume import Volume
from wslpet.io.readers import read_volume
from wslpet.method.inference.pipeline import NetworkOutput
from wslpet.method.inference.scan_cache import ScanCache
from wslpet.method.network.checkpoint import Model, best_device
from wslpet.method.projection.mip import Views
from wslpet.server.errors import Conflict, StorageError, UnknownName, quoted
from wslpet.server.storage.label_seeds import seed_from_label
from wslpet.server.storage.seed_log import SeedLog

# It tells of every look at the folder.
logging.getLogger("monailabel.datastore.local").setLevel(logging.WARNING)

IMAGE_PATTERNS = ("*.nii.gz", "*.nii", "*.nrrd", "*.mha")
_SAFE_ID = re.compile(r"\w[\w.+ ()=@,-]{0,199}")
_SAFE_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class SeededDatastore(LocalDatastore):
    """Images in a folder, with the seeds that annotators gave them.

    Parameters
    ----------
    folder : the studies.
    settings : for the cancer types that a submitted label may name.
    """

    def __init__(self, folder: str, settings: Settings, read_only: bool = False) -> None:
        self.private = Path(folder) / ".wslpet"
        self.private.mkdir(parents=True, exist_ok=True)
        sync_folder(self.private.parent)
        sweep(self.private.parent)
        self.seeds = SeedLog(self.private / "seeds.jsonl")
        self.scans = ScanCache(self.private / "projections", device=best_device(), of=Path(folder))
        self._settings = settings
        self._images = Path(folder).resolve()
        self._guard = threading.RLock()
        self._between_processes = FileLock(self.private / "store.lock")
        super().__init__(folder, extensions=IMAGE_PATTERNS, auto_reload=False, read_only=read_only)

    def record_seed(self, image_id: str, seed: Seed) -> None:
        """Add an annotation; on disk when this returns."""
        self.image_path(image_id)
        self.seeds.append(image_id, seed)

    def seeded(self) -> dict[str, Seed]:
        """Image → the seed that counts, for the images that are there."""
        images = set(self.list_images())
        return {image: seed for image, seed in self.seeds.newest().items() if image in images}

    def annotated(self) -> set[str]:
        """Images that need no annotator: with a seed, or a final label."""
        return set(self.seeded()) | set(self.get_labeled_images())

    def waiting(self) -> list[str]:
        """Images for annotators, in alphabetical order."""
        return sorted(set(self.list_images()) - self.annotated())

    def image_path(self, image_id: Any) -> Path:
        """The image's file; raises UnknownName when there is no such image."""
        path = self.get_image_uri(image_id) if isinstance(image_id, str) else ""
        if not path:
            raise UnknownName(
                f"image {quoted(image_id)} is not in the datastore; GET /datastore/?output=all lists them"
            )
        return Path(path)

    def is_at_hand(self, image_id: str) -> bool:
        """Whether `image_path` answers without asking anybody."""
        return True

    def volume(self, image_id: Any) -> Volume:
        """The scan in SUV, as stored, read-only; errors as `image_path` and `wslpet.io.readers.read_volume`."""
        return self.scans.volume(self.image_path(image_id))

    def checkout(self, image_id: Any) -> AbstractContextManager[Volume]:
        """As `volume`, which stays in memory for as long as the block runs."""
        return self.scans.checkout(self.image_path(image_id))

    def views(self, image_id: Any) -> Views:
        """The scan's two projections, in RAS; errors as `volume`."""
        return self.scans.views(self.image_path(image_id))

    def network_output(self, image_id: Any, model: Model) -> NetworkOutput:
        """What a model makes of the scan's projections; errors as `volume`."""
        return self.scans.network_output(self.image_path(image_id), model)

    def image_version(self, image_id: str) -> str:
        """Changes when the image's file does."""
        stat = self.image_path(image_id).stat()
        text = f"{image_id}|{stat.st_ino}|{stat.st_size}|{stat.st_mtime_ns}"
        return hashlib.sha256(text.encode()).hexdigest()[:24]

    def get_image_uri(self, image_id: str) -> str:
        entry = self._entry(image_id)
        return "" if entry is None else os.path.realpath(self._images / f"{image_id}{entry.image.ext}")

    def _entry(self, image_id: str) -> ImageLabelModel | None:
        """Nobody who asks for an image waits while thousands are looked through; who finds none does: it may be there
        again in a moment."""
        entry = self._datastore.objects.get(image_id)
        if entry is None:
            with self._guard:
                entry = self._datastore.objects.get(image_id)
        return entry

    def list_images(self) -> list[str]:
        with self._guard:
            return super().list_images()

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        """MONAI Label's info and "seeds": a list, newest last, of cancer_type, index, position, user, time."""
        self.image_path(image_id)
        with self._guard:
            info = super().get_image_info(image_id)
        return {**info, "seeds": [seed.to_dict() for seed in self.seeds.of(image_id)]}

    def facts(self, image_id: str) -> dict[str, str]:
        """What is known of an image without reading it: a DICOM series' `FACTS`, nothing of a file."""
        return {}

    @property
    def trouble(self) -> str:
        """Why the list of images may be old; empty when it is not."""
        return ""

    def get_dataset_archive(self, limit_cases: int | None) -> str:
        if not self.datalist():
            raise InputError("no image has a final label, so there is nothing to archive; submit labels first")
        return super().get_dataset_archive(limit_cases)

    def status(self) -> dict[str, Any]:
        """MONAI Label's counts; an image with a seed is as complete as this method needs it."""
        images, seeded = self.list_images(), self.seeded()  # both may wait for a source, so nobody for this thread
        with self._guard:
            tags = Counter(tag for image in self._datastore.objects.values() for tag in image.labels)
        return {
            "total": len(images),
            "completed": len({*seeded, *self.get_labeled_images()}),
            "label_tags": dict(tags),
            "seeded": len(seeded),
        }

    def add_image(self, image_id: str, image_filename: str, image_info: Mapping[str, Any]) -> str:
        """Take in an upload: a PET scan that can be read, under a name that is free."""
        source = Path(image_filename)
        extension = self._extension(source, "image")
        image_id = image_id or source.name.removesuffix(extension)
        _check_name("image", image_id, _SAFE_ID)
        with _called(source, f"{image_id}{extension}"):
            read_volume(source)
        with self._changing():
            target = self._images / f"{image_id}{extension}"
            if image_id in self._datastore.objects:
                if self.get_image_uri(image_id) == str(target.resolve()) and _same_content(source, target):
                    return image_id
                raise Conflict(f"image {quoted(image_id)} is there already; choose another name, or delete it first")
            self._install(source, target)
            info = {**_mapping(image_info), "ts": int(time.time()), "name": target.name}
            self._datastore.objects[image_id] = ImageLabelModel(image=DataModel(info=info, ext=extension))
            self._update_datastore_file()
        return image_id

    def remove_image(self, image_id: str) -> None:
        path = self.get_image_uri(image_id)
        with self._changing():
            if path and Path(path).exists():
                self.scans.forget(Path(path))
            entry = self._datastore.objects.get(image_id)
            if entry is not None:
                self._keep(self._images / f"{image_id}{entry.image.ext}", "image")
            super().remove_image(image_id)
            self.seeds.retire(image_id)
            self._reconcile_datastore()

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: Mapping[str, Any]) -> str:
        """Store a mask; a final one, which an annotator submitted, is a seed and a type, too."""
        _check_name("tag", label_tag, _SAFE_TAG)
        source, info = Path(label_filename), dict(_mapping(label_info))
        extension = self._extension(source, "label")
        image = self.image_path(image_id)
        seed = None
        if label_tag == DefaultLabelTag.FINAL.value:
            volume = self.scans.volume(image)
            with _called(source, f"{label_tag} of {image_id}{extension}"):
                seed = seed_from_label(source, volume, info, self._settings)
        with self._changing():
            target = Path(self._datastore.label_path(label_tag)) / f"{image_id}{extension}"
            before = self._datastore.objects[image_id].labels.get(label_tag)
            info |= {"ts": int(time.time()), "name": target.name}
            self._datastore.objects[image_id].labels[label_tag] = DataModel(info=info, ext=extension)
            with self._listed(), self._written(target) as staged:
                shutil.copyfile(source, staged)
                if before is not None:
                    old = target.with_name(f"{image_id}{before.ext}")
                    self._keep(old, label_tag)
                # Last: what failed so far recorded nothing, and what follows needs no space.
                if seed is not None:
                    self.seeds.append(image_id, seed)
            if before is not None and before.ext != extension:
                old.unlink(missing_ok=True)
        return image_id

    def remove_label(self, label_id: str, label_tag: str) -> None:
        with self._changing():
            path = LocalDatastore.get_label_uri(self, label_id, label_tag)
            if not path:
                raise UnknownName(f"label {quoted(label_tag)} of image {quoted(label_id)} does not exist")
            self._keep(Path(path), label_tag)
            super().remove_label(label_id, label_tag)
            self._reconcile_datastore()

    def update_image_info(self, image_id: str, info: Mapping[str, Any]) -> None:
        with self._changing():
            super().update_image_info(image_id, {k: v for k, v in _mapping(info).items() if k != "seeds"})

    def update_label_info(self, label_id: str, label_tag: str, info: Mapping[str, Any]) -> None:
        with self._changing():
            super().update_label_info(label_id, label_tag, dict(_mapping(info)))

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Alone among threads and processes, with the list of images as it is on disk."""
        with self._guard, self._between_processes:
            self._init_from_datastore_file()
            try:
                yield
            except BaseException:
                self._init_from_datastore_file()  # what failed is not there
                raise

    def _install(self, source: Path, target: Path) -> None:
        with self._written(target) as staged:
            shutil.copyfile(source, staged)

    @contextmanager
    def _written(self, target: Path) -> Iterator[Path]:
        """As `replacing`; a disk that refuses is a StorageError, and `target` is what it was."""
        try:
            with replacing(target) as staged:
                yield staged
        except OSError as error:
            raise StorageError(
                f"{target.name} could not be written ({error.strerror}); free space on the server's disk"
            ) from error

    @contextmanager
    def _listed(self) -> Iterator[None]:
        """Write the list of images as it is now; it takes effect after the block, if that ends without an error."""
        with self._written(Path(self._datastore_config_path)) as staged:
            staged.write_text(self._datastore.model_dump_json(exclude={"base_path"}, indent=2), encoding="utf-8")
            yield
        self._config_ts = os.stat(self._datastore_config_path).st_mtime

    def _keep(self, file: Path, what: str) -> None:
        """Copy a file that is about to be replaced or removed; `what` is a label's tag, or "image"."""
        if file.exists():
            now = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%f")
            self._install(file, self.private / "superseded" / f"{now}-{what}" / file.name)

    def _extension(self, path: Path, what: str) -> str:
        extension = next((p[1:] for p in IMAGE_PATTERNS if path.name.endswith(p[1:])), None)
        if extension is None:
            kinds = ", ".join(pattern[1:] for pattern in IMAGE_PATTERNS)
            raise InputError(f"{what} file type {''.join(path.suffixes)!r} is not one of {kinds}; convert it to NIfTI")
        return extension

    def _reconcile_datastore(self) -> None:
        with self._guard, self._between_processes:
            super()._reconcile_datastore()

    def _remove_non_existing(self) -> int:
        """MONAI Label's, which asks the disk for each part of each file's path; this reads the folders."""
        self._init_from_datastore_file()
        objects, removed = self._datastore.objects, 0
        images = _files_in(self._images)
        labels = {tag: _files_in(Path(self._datastore.label_path(tag))) for tag in self._datastore.tags()}
        for image_id, entry in list(objects.items()):
            elsewhere = self._elsewhere(entry)
            if entry.image not in elsewhere and f"{image_id}{entry.image.ext}" not in images:
                del objects[image_id]
                removed += 1
                continue
            for tag, label in list(entry.labels.items()):
                if label not in elsewhere and f"{image_id}{label.ext}" not in labels[tag]:
                    del entry.labels[tag]
                    removed += 1
        return removed

    def _elsewhere(self, entry: ImageLabelModel) -> list[DataModel]:
        """What is listed of an image though no file of it has to be here."""
        return []

    def _add_non_existing_images(self) -> int:
        """MONAI Label's, which looks each file up among all that are known."""
        self._init_from_datastore_file()
        objects, added = self._datastore.objects, 0
        for name in self._list_files(self._images, self._extensions):
            image_id, extension = self._to_id(name)
            if image_id not in objects:
                info = {"ts": int(time.time()), "name": name}
                objects[image_id] = ImageLabelModel(image=DataModel(info=info, ext=extension))
                added += 1
        return added

    def _update_datastore_file(self, lock: bool = True) -> None:
        # Called under `_changing`, so MONAI Label's own lock (lock=True) adds nothing.
        with self._listed():
            pass


def _files_in(folder: Path) -> set[str]:
    """Names; a link to nothing is no file."""
    if not folder.is_dir():
        return set()
    with os.scandir(folder) as entries:
        return {entry.name for entry in entries if not entry.is_symlink() or os.path.exists(entry.path)}


@contextmanager
def _called(upload: Path, name: str) -> Iterator[None]:
    """Have refusals call an upload by what it is, not by the temporary file that it came in."""
    try:
        yield
    except InputError as error:
        raise type(error)(str(error).replace(upload.name, name)) from error


def _check_name(what: str, name: Any, safe: re.Pattern[str]) -> None:
    if not isinstance(name, str) or not safe.fullmatch(name):
        raise InputError(f"{what} {quoted(name)} is not a safe name; use letters, digits, '.', '_' and '-'")


def _mapping(info: Any) -> Mapping[str, Any]:
    if info is not None and not isinstance(info, Mapping):
        raise InputError(f"info {quoted(info)} is not a JSON object")
    return info or {}


def _same_content(one: Path, other: Path) -> bool:
    return filecmp.cmp(one, other, shallow=False)
