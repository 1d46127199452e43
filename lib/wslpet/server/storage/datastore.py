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

import difflib
import filecmp
import hashlib
import logging
import math
import os
import re
import shutil
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from filelock import FileLock
from monailabel.datastore.local import DataModel, ImageLabelModel, LocalDatastore
from monailabel.interfaces.datastore import DefaultLabelTag

from wslpet.core.atomic_io import ThreadLock, locked, replacing, sweep, sync_folder
from wslpet.core.errors import BusyError, InputError
from wslpet.core.seeds import Seed
from wslpet.core.settings import Settings
from wslpet.core.state_folder import PRIVATE
from wslpet.core.volume import Volume
from wslpet.io.folders import Tree, look_into
from wslpet.io.readers import ending, read_volume
from wslpet.method.inference.forward import NetworkOutput
from wslpet.method.inference.scan_cache import ScanCache
from wslpet.method.network.checkpoint import Model, best_device
from wslpet.method.projection.mip import Views
from wslpet.server.errors import Conflict, PacsError, StorageError, UnknownName, quoted
from wslpet.server.storage.annotations.label_seeds import LabelSeeds
from wslpet.server.storage.annotations.seed_log import Known, SeedLog
from wslpet.server.storage.annotations.submitted_labels import seed_from_label
from wslpet.server.storage.image_files import IMAGE_ENDS, NOT_STUDIES, flat_name, image_files

logger = logging.getLogger(__name__)

# A fault that is none of the file's content, such as a disk that fails, is tried again.
RETRY_SECONDS = 300.0
_SAFE_ID = re.compile(r"\w[\w.+ ()=@,-]{0,199}")
_SAFE_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class SeededDatastore(LocalDatastore):
    """Images in a folder, with the seeds that annotators gave them.

    Parameters
    ----------
    folder : the studies.
    settings : for the cancer types that count.
    renamed : former name of a cancer type → its name in the settings.
    state : for all that is written but uploaded images, labels included; None is `.wslpet` in the studies, with the
        labels and the list of images beside it.
    """

    def __init__(
        self,
        folder: str,
        settings: Settings,
        read_only: bool = False,
        renamed: Mapping[str, str] | None = None,
        state: Path | None = None,
    ) -> None:
        self.private = Path(folder) / PRIVATE if state is None else state
        self.private.mkdir(parents=True, exist_ok=True)
        place = Path(folder) if state is None else state
        sync_folder(place)
        sweep(place)
        self.renamed = dict(renamed or {})
        self.seeds = SeedLog(self.private / "seeds.jsonl", self.renamed)
        self.label_seeds = LabelSeeds(self)
        kept, converted = self.private / "projections", self.private / "series"
        self.scans = ScanCache(kept, device=best_device(), of=Path(folder), converted=converted)
        self.settings = settings
        self._unusable: dict[str, tuple[str, float, str]] = {}  # image → its version, until when, and why
        self._images = Path(folder).resolve()
        self._tree, self._left_out = Tree(), dict[str, str]()
        self._guard = ThreadLock("the list of images")
        self._between_processes = FileLock(self.private / "store.lock")
        self._labels_beside = None if state is None else self._images / "labels" / DefaultLabelTag.FINAL.value
        super().__init__(
            str(place.resolve()),
            images_dir="." if state is None else str(self._images),
            extensions=[f"*{end}" for end in IMAGE_ENDS],
            auto_reload=False,
            read_only=read_only,
        )

    def record_seed(self, image_id: str, seed: Seed, known: Known | None = None) -> Seed:
        """Add an annotation, unless it is known; parameters, result and errors as of `SeedLog.append`."""
        self.image_path(image_id)
        return self.seeds.append(image_id, seed, known)

    def seeded(self) -> dict[str, Seed]:
        """Image → the seed that is learned from, for the images that are there: the newest, of a type that counts."""
        images, classes = set(self.list_images()), self.settings.classes
        newest = self.seeds.newest().items()
        return {image: seed for image, seed in newest if image in images and seed.cancer_type in classes}

    def annotated(self) -> set[str]:
        """Images that need no annotator: those with a seed that is learned from."""
        return set(self.seeded())

    def waiting(self) -> list[str]:
        """Images for annotators, in alphabetical order; without those that are known to be unusable."""
        return sorted(set(self.list_images()) - self.annotated() - set(self.unusable()))

    def uncounted(self) -> dict[str, str]:
        """Image → why what somebody said of it is not learned from: an unknown type, or a label that is no seed."""
        images, classes = set(self.list_images()), self.settings.classes
        reasons = {image: why for image, why in self.label_seeds.reasons().items() if image in images}
        for image, seed in self.seeds.newest().items():
            if image in images and seed.cancer_type not in classes:
                here = ", ".join(classes)
                reasons[image] = f"annotated as {seed.cancer_type} by {seed.user}, which is no type here ({here})"
        return reasons

    def remarks(self) -> list[str]:
        """What the people who use the server should know of its images, in sentences."""
        images, classes, unusable = set(self.list_images()), self.settings.classes, self.unusable()
        unknown = Counter(
            seed.cancer_type
            for image, seed in self.seeds.newest().items()
            if image in images and seed.cancer_type not in classes
        )
        told = [_unknown_type(name, count, classes) for name, count in sorted(unknown.items())]
        labels, unread = self.label_seeds.reasons().keys() & images, self.label_seeds.unread()
        if labels:
            told.append(f"{_patients(len(labels))} stay to be annotated though they have a label; the cohort says why.")
        elif unread:
            told.append(f"{_patients(unread)} have a label that is still being read.")
        if not images:
            told.append(self.trouble or f"There is no PET scan on this server ({self.name()}).")
        elif len(unusable.keys() & images) == len(images):
            first = min(images)
            told.append(f"None of the {len(images)} scans can be used; the cohort says why. {first}: {unusable[first]}")
        return told

    def check_usable(self, image_id: str) -> None:
        """Read an image as every use of it does; what is no PET scan in SUV is remembered, and waits for nobody.

        Raises
        ------
        InputError
            saying what keeps it from being used.
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
        """Remember why an image cannot be used, until its file changes; not, what is no fault of the image."""
        if isinstance(error, PacsError | StorageError | BusyError | UnknownName | Conflict):
            return
        until = math.inf if isinstance(error, InputError) else time.monotonic() + RETRY_SECONDS
        try:
            version = self.image_version(image_id)
        except (InputError, OSError):
            return
        self._unusable[image_id] = (version, until, str(error) or type(error).__name__)

    def unusable(self) -> dict[str, str]:
        """Image → why it cannot be used, for those that are known to be none."""
        found = {}
        for image, (version, until, why) in list(self._unusable.items()):
            try:
                known = self.image_version(image) == version and time.monotonic() < until
            except (InputError, OSError):
                known = False
            if known:
                found[image] = why
            else:
                self._unusable.pop(image, None)
        return found

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
        """The file by its name in the studies folder, whose ending tells what it is; a link's target may have none."""
        entry = self._entry(image_id)
        return "" if entry is None else str(self._images / f"{image_id}{entry.image.ext}")

    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        label = self._datastore.label(label_id, label_tag)
        return "" if label is None else str(self._label_file(label_id, label_tag, label.ext))

    def _label_file(self, image_id: str, tag: str, extension: str) -> Path:
        return Path(self._datastore.label_path(tag)).resolve() / f"{image_id}{extension}"

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

    def get_labeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        with self._guard:
            return super().get_labeled_images(label_tag, labels)

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        """MONAI Label's info and "seeds": a list, newest last, of cancer_type, index, position, user, time."""
        path = self.image_path(image_id)
        with self._guard:
            info = super().get_image_info(image_id)
        # Slicer keeps its download by this name.
        info |= {"path": str(path), "name": flat_name(image_id, ending(path.name))}
        return {**info, "seeds": [seed.to_dict() for seed in self.seeds.of(image_id)]}

    def facts(self, image_id: str) -> dict[str, str]:
        """What is known of an image without reading it: a DICOM series' `FACTS`, nothing of a file."""
        return {}

    def notes(self, image_id: str) -> list[str]:
        """What was inferred, not read, when the image became SUV, a sentence each; errors as `image_path`."""
        return []

    @property
    def left_out(self) -> dict[str, str]:
        """What lies in the studies folder and is no image → why; paths from that folder on."""
        return dict(self._left_out)

    @property
    def trouble(self) -> str:
        """Why the list of images may be old; empty when it is not."""
        return ""

    def check_complete(self) -> None:
        """Raise what keeps the list of images from being complete."""

    def label_file(self, image_id: str, tag: str) -> str:
        """Where a label is kept, or would be; nothing is fetched."""
        return LocalDatastore.get_label_uri(self, image_id, tag)

    def get_dataset_archive(self, limit_cases: int | None) -> str:
        """MONAI Label's, but for the names in it, which are those of the images: two may end alike."""
        labelled = self.get_labeled_images()[:limit_cases]
        if not labelled:
            raise InputError("no image has a final label, so there is nothing to archive; submit labels first")
        with tempfile.NamedTemporaryFile(delete=False) as file, zipfile.ZipFile(file, "x") as archive:
            for image_id in labelled:
                image = self.image_path(image_id)
                label = Path(self.get_label_uri(image_id, DefaultLabelTag.FINAL.value))
                archive.write(image, f"image/{image_id}{ending(image.name)}")
                archive.write(label, f"label/{image_id}{ending(label.name)}")
            archive.writestr("metadata.json", self._datastore.model_dump_json(exclude={"base_path"}))
        return file.name

    def status(self) -> dict[str, Any]:
        """MONAI Label's counts; complete is an image that is learned from. "remarks": what people should know;
        "left_out": files that are no image here, and why, if any."""
        images, seeded = self.list_images(), self.seeded()  # both may wait for a source, so nobody for this thread
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
        """Take in an upload: a PET scan that can be read, under a name that is free."""
        source = Path(image_filename)
        extension = self._extension(source, "image")
        image_id = image_id or source.name[: -len(extension)]
        _check_name("image", image_id, _SAFE_ID)
        with _called(source, f"{image_id}{extension}"):
            read_volume(source)
        with self._changing():
            target = self._images / f"{image_id}{extension}"
            if image_id in self._datastore.objects:
                if self.get_image_uri(image_id) == str(target) and _same_content(source, target):
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
        """Store a mask; a final one, which an annotator submitted, is a seed and a type, too."""
        _check_name("tag", label_tag, _SAFE_TAG)
        source, info = Path(label_filename), dict(_mapping(label_info))
        extension = self._extension(source, "label")
        image = self.image_path(image_id)
        seed = None
        if label_tag == DefaultLabelTag.FINAL.value:
            volume = self.scans.volume(image)
            with _called(source, f"{label_tag} of {image_id}{extension}"):
                seed = seed_from_label(source, volume, info, self.settings, self.renamed)
        with self._changing():
            target = self._label_file(image_id, label_tag, extension)
            before = self._datastore.objects[image_id].labels.get(label_tag)
            info |= {"ts": int(time.time()), "name": target.name}
            self._datastore.objects[image_id].labels[label_tag] = DataModel(info=info, ext=extension)
            with self._listed(), self._written(target) as staged:
                shutil.copyfile(source, staged)
                if before is not None:
                    old = self._label_file(image_id, label_tag, before.ext)
                    self._keep(old, label_tag, image_id)
                # Last: what failed so far recorded nothing, and what follows needs no space.
                if seed is not None:
                    self.seeds.append(image_id, seed)
            if before is not None and before.ext != extension:
                old.unlink(missing_ok=True)
        return image_id

    def remove_label(self, label_id: str, label_tag: str) -> None:
        with self._changing():
            path = SeededDatastore.get_label_uri(self, label_id, label_tag)
            if not path:
                raise UnknownName(f"label {quoted(label_tag)} of image {quoted(label_id)} does not exist")
            self._keep(Path(path), label_tag, label_id)
            Path(path).unlink(missing_ok=True)
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
        with self._guard, locked(self._between_processes):
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

    def _keep(self, file: Path, what: str, image_id: str) -> None:
        """Copy a file that is about to be replaced or removed; `what` is a label's tag, or "image"."""
        if file.exists():
            now = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%f")
            self._install(file, self.private / "superseded" / f"{now}-{what}" / f"{image_id}{ending(file.name)}")

    def _extension(self, path: Path, what: str) -> str:
        extension = ending(path.name).lower()
        if extension not in IMAGE_ENDS:
            kinds = ", ".join(IMAGE_ENDS)
            raise InputError(f"{what} file type {''.join(path.suffixes)!r} is not one of {kinds}; convert it to NIfTI")
        return extension

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
        own, spoken_of = Path(self._datastore.label_path(DefaultLabelTag.FINAL.value)), self.seeds.counts()[0]
        for name in self._list_files(self._labels_beside, self._extensions):
            if self._to_id(name)[0] not in spoken_of and not (own / name).exists():
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


def _patients(count: int) -> str:
    return "1 patient" if count == 1 else f"{count} patients"


def _unknown_type(name: str, count: int, classes: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, classes, n=1)
    new = near[0] if near else "NEW NAME"
    are = "is" if count == 1 else "are"
    return (
        f"{_patients(count)} {are} annotated as {name}, which is no type here ({', '.join(classes)}), and wait to be "
        "annotated again. If only the name changed, start the server with "
        f'--conf rename "{name}:{new}"; nothing is lost.'
    )


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
