"""`wslpet model`: describe weights, list published versions, roll back."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from wslpet.core.errors import InputError
from wslpet.data.state_folder import state_folder
from wslpet.method.shipped import SHIPPED_MODEL


def add_to(commands: Any) -> None:
    """Add the subcommand's parser."""
    model = commands.add_parser("model", help="what weights were trained on; those that were published; the way back")
    what = "MODEL.pt (default: the shipped weights), or versions STUDIES, or rollback STUDIES"
    model.add_argument("words", nargs="*", default=[str(SHIPPED_MODEL)], metavar="MODEL.pt", help=what)
    model.add_argument("--to", metavar="VERSION", help="of rollback; default: what answered before")
    model.set_defaults(command=run)


def run(args: argparse.Namespace) -> None:
    """Describe, list or roll back."""
    first, *rest = args.words
    if args.to is not None and first != "rollback":
        raise InputError("--to is a version to roll back to; write model rollback STUDIES --to VERSION")
    if first in ("versions", "rollback") and len(rest) == 1:
        _published(first, Path(rest[0]), args.to)
    elif not rest:
        _describe(Path(first))
    else:
        raise InputError(f"model {' '.join(args.words)}: give one MODEL.pt, or versions STUDIES, or rollback STUDIES")


def _describe(path: Path) -> None:
    from wslpet.method.network.checkpoint import load_model

    model = load_model(path)
    weights = sum(tensor.numel() for tensor in model.network.parameters())
    described = {
        "model": str(path),
        "version": model.version,
        "parameters": weights,
        "settings": model.settings.to_dict(),
        "history": model.history,
    }
    print(json.dumps(described, indent=2, ensure_ascii=False))


def _published(what: str, folder: Path, to: str | None) -> None:
    """List or roll back; `folder` holds the studies or the weights. A running server notices at once."""
    from wslpet.method.network.registry import ModelRegistry

    places = [state_folder(folder) / "model" / "wslpet.pt", folder / "model" / "wslpet.pt", folder / "wslpet.pt"]
    file = next((place for place in places if place.exists()), None)
    if file is None:
        raise InputError(f"{folder} holds no published weights (.wslpet/model/wslpet.pt); give the studies' folder")
    published = ModelRegistry(file)
    if what == "rollback":
        print(f"{file}: version {published.rollback(to).version} answers again")
        return
    for version in published.versions():
        print(f"{version.state:10} {version.version}  {version.file}")
