"""List a folder and all its subfolders. Symbolic links are followed, and each folder is listed once."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Tree:
    """Content of a folder and its subfolders, without hidden files and folders.

    Parameters
    ----------
    folders : all listed folders, with the folder itself.
    files : paths relative to the folder, with "/", sorted by name; files below a link come last.
    left_out : relative path of what could not be listed → reason.
    """

    folders: list[Path] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def look_into(folder: Path, without: Collection[str] = ()) -> Tree:
    """List a folder and its subfolders.

    A link to a folder that is listed already, such as a parent folder, is named in `Tree.left_out`.

    Parameters
    ----------
    folder : the folder; one that does not exist gives an empty tree.
    without : names directly in `folder` that are left out.
    """
    tree = Tree()
    if not folder.is_dir():
        return tree
    seen: dict[tuple[int, int], str] = {}
    waiting, links = [""], list[str]()
    while waiting or links:
        # Folders come before links, so that a file has the path of its own folder, not that of a link to it.
        here = waiting.pop(0) if waiting else links.pop(0)
        below, linked = _list(folder, here, without if here == "" else (), seen, tree)
        waiting = [*below, *waiting]
        links += linked
    return tree


def _list(
    folder: Path, here: str, without: Collection[str], seen: dict[tuple[int, int], str], tree: Tree
) -> tuple[list[str], list[str]]:
    """Add one folder to the tree. Returns its subfolders, and its links to folders."""
    path = folder / here
    try:
        stat = path.stat()
        known = seen.setdefault((stat.st_dev, stat.st_ino), here)
        if known != here:
            tree.left_out[here] = f"a link to {known or 'the folder itself'}, which is listed already"
            return [], []
        with os.scandir(path) as listed:
            entries = sorted(listed, key=lambda entry: entry.name)
    except OSError as error:
        tree.left_out[here or "."] = f"cannot be opened ({error.strerror}); let the server read it"
        return [], []
    tree.folders.append(path)
    below: list[str] = []
    linked: list[str] = []
    for entry in entries:
        if entry.name.startswith(".") or entry.name in without:
            continue
        name = f"{here}/{entry.name}" if here else entry.name
        if entry.is_dir():
            (linked if entry.is_symlink() else below).append(name)
        elif entry.is_file():
            tree.files.append(name)
        else:
            tree.left_out[name] = "a link to nothing" if entry.is_symlink() else "no file"
    return below, linked
