"""A folder and all that lies below it, links to folders and files followed, each folder once."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Tree:
    """What lies in and below a folder, hidden files and folders left out.

    Parameters
    ----------
    folders : those that were looked into, the first one among them.
    files : their paths from the first folder on, with "/", in order of name; first those that no link leads to.
    left_out : what could not be looked at, by its path as `files` has it → why.
    """

    folders: list[Path] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def look_into(folder: Path, without: Collection[str] = ()) -> Tree:
    """List a folder and those below it.

    A link to a folder that was listed already, such as one above it, is left out, and named.

    Parameters
    ----------
    without : names in `folder` itself that are not looked at.
    """
    tree = Tree()
    if not folder.is_dir():
        return tree
    seen: dict[tuple[int, int], str] = {}
    waiting, links = [""], list[str]()
    while waiting or links:
        # Folders before links to them: what lies in both is known by its folder's name, whatever the alphabet says.
        here = waiting.pop(0) if waiting else links.pop(0)
        below, linked = _list(folder, here, without if here == "" else (), seen, tree)
        waiting = [*below, *waiting]
        links += linked
    return tree


def _list(
    folder: Path, here: str, without: Collection[str], seen: dict[tuple[int, int], str], tree: Tree
) -> tuple[list[str], list[str]]:
    """Take in one folder; returns the folders in it, and the links to folders."""
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
