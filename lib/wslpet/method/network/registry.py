"""Model registry: the published weights and their earlier versions, with atomic publication and rollback.

In the folder of the published file:

    wslpet.pt                         weights in use
    previous/<time>-<version>.pt      weights used before, oldest first by name
    withdrawn/<time>-<version>.pt     weights taken back by a rollback or a withdrawal

The published file is complete at every moment of a publication or a rollback, also after a kill or on a full disk.
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

# Number of versions kept; half a megabyte each.
KEPT = 50


@dataclass(frozen=True)
class Version:
    """A version of the weights, in use or not.

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
        """Publish a model atomically; the version before it is kept.

        Raises
        ------
        ModelError
            when it cannot be read back, or its weights are not finite; the published file is unchanged.
        OSError
            when it cannot be written; the published file is unchanged.
        """
        with self._changing():
            with replacing(self.file) as temporary:
                save_model(model, temporary)
                load_model(temporary)  # a damaged file must not replace a readable one
                self._set_aside(self._previous)
            for old in sorted(self._previous.glob("*.pt"))[:-KEPT]:
                old.unlink(missing_ok=True)

    def rollback(self, version: str | None = None) -> Version:
        """Publish the version before the current one again, or a named one; returns it.

        Raises
        ------
        ModelError
            when there is none, or its file is damaged; the published file is unchanged.
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
        """Withdraw the published weights; their file is kept. Raises ModelError when nothing is published."""
        with self._changing():
            if not self.file.exists():
                raise ModelError("no weights are published; train, and they are")
            self._set_aside(self._withdrawn)
            self.file.unlink()

    def versions(self) -> list[Version]:
        """List the published version, then the previous ones, then the withdrawn ones, each newest first."""
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
        """Copy the published file to `previous` under its own name."""
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
