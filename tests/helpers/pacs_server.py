"""A server on a PACS, and what it says of the series."""

from __future__ import annotations

from pathlib import Path

import requests

from tests.helpers.app_server import Server
from wslpet.cli.demo.orthanc import Orthanc


def serve(pacs: Orthanc, folder: Path, cache: str, **settings: str) -> Server:
    environment = {"MONAI_LABEL_DICOMWEB_CACHE_PATH": str(folder / cache), **settings}
    return Server(pacs.dicomweb, folder / f"scratch-{cache}", settings=environment)


def info_of(server: Server, uid: str) -> dict:
    return requests.get(f"{server.url}/datastore/image/info", params={"image": uid}, timeout=60).json()


def listed(server: Server) -> set[str]:
    return set(requests.get(f"{server.url}/datastore/?output=all", timeout=30).json()["objects"])
