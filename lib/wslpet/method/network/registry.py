"""The weights that answer, and those that did before: published in one step, with a way back.

In the folder of the published file:

    wslpet.pt                         what answers
    previous/<time>-<version>.pt      what answered before, oldest first by name
    withdrawn/<time>-<version>.pt     what was taken back

At every moment of a publication or a rollback, a kill or a full disk included, the published file is whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from filelock import FileLock

from wslpet.core.atomic_io import copy_file, locked, replacing, sync_folder
from wslpet.core.errors import ModelError
from wslpet.method.network.checkpoint import Model, load_model, save_model

# Half a megabyte each.
KEPT = 50


@dataclass(frozen=True)
class Version:
    """A file of weights that was published once.

    Parameters
    ----------
    file : where it is.
    version : digest of its weights, as `Model.version`.
    state : "published", "previous" or "withdrawn".
    """

    file: Path
    version: str
    state: str


class ModelRegistry:
    """The published weights in use and the versions before them, on disk.

    Parameters
    ----------
    file : the published weights; its folder is made when the first are published.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._previous = file.parent / "previous"
        self._withdrawn = file.parent / "withdrawn"

    def publish(self, model: Model) -> None:
        """Let a model answer from now on; what answered before is kept.

        Raises
        ------
        ModelError
            when it cannot be read back, or its weights are not finite; what is published stays.
        OSError
            when the disk refuses; what is published stays.
        """
        with self._changing():
            with replacing(self.file) as temporary:
                save_model(model, temporary)
                load_model(temporary)  # what cannot be read back must not take the place of what can
                self._set_aside(self._previous)
            for old in sorted(self._previous.glob("*.pt"))[:-KEPT]:
                old.unlink(missing_ok=True)

    def rollback(self, version: str | None = None) -> Version:
        """Let the weights before the present ones answer again, or those of a version; returns them.

        Raises
        ------
        ModelError
            when there are none, or their file is damaged; what is published stays.
        """
        with self._changing():
            chosen = self._chosen(version)
            load_model(chosen.file)
            with replacing(self.file) as temporary:
                shutil.copyfile(chosen.file, temporary)
                self._set_aside(self._withdrawn)
            chosen.file.unlink()
            return Version(self.file, chosen.version, "published")

    def withdraw(self) -> None:
        """Let nothing published answer; the file is kept. Raises ModelError when nothing is published."""
        with self._changing():
            if not self.file.exists():
                raise ModelError("no weights are published; train, and they are")
            self._set_aside(self._withdrawn)
            self.file.unlink()

    def versions(self) -> list[Version]:
        """The published file, then the previous ones, then the withdrawn ones, each newest first."""
        present = [Version(self.file, load_model(self.file).version, "published")] if self.file.exists() else []
        return [*present, *_kept(self._previous, "previous"), *_kept(self._withdrawn, "withdrawn")]

    def _chosen(self, version: str | None) -> Version:
        before = _kept(self._previous, "previous")
        if version is None:
            if not before:
                raise ModelError(f"no weights were published before the present ones in {self.file.parent}")
            return before[0]
        found = [v for v in [*before, *_kept(self._withdrawn, "withdrawn")] if v.version == version]
        if not found:
            raise ModelError(f"version {version!r} is not among those kept; list them with: model versions FOLDER")
        return found[0]

    def _set_aside(self, folder: Path) -> None:
        """Keep the published file's content under a name of its own, too."""
        if not self.file.exists():
            return
        try:
            version = load_model(self.file).version
        except ModelError:
            version = "damaged"
        now = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%f")
        copy_file(self.file, folder / f"{now}-{version}.pt")

    @contextmanager
    def _changing(self) -> Iterator[None]:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with locked(FileLock(self.file.with_suffix(".lock"))):
            yield
            sync_folder(self.file.parent)


def _kept(folder: Path, state: str) -> list[Version]:
    files = sorted(folder.glob("*.pt"), reverse=True)
    return [Version(file, file.stem.rpartition("-")[2], state) for file in files]
