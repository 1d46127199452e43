"""Killed at random moments, again and again: what was acknowledged is there, whole, and nothing lies elsewhere.

The datastore's own writers are killed KILLS times, a server under load SERVER_KILLS times (`make kills`: 200 each), or
as often as SERVER_KILL_SECONDS allow. Each kill takes a start of the server, 5 to 20 s.
"""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import requests

from tests.helpers.app_server import Server
from tests.helpers.bad_scans import nifti, packed, pet
from tests.helpers.synthetic import write_scan
from wslpet.core.seeds import Seed
from wslpet.core.settings import Settings
from wslpet.method.network.checkpoint import Model, load_model, new_network
from wslpet.method.network.registry import ModelRegistry
from wslpet.server.errors import StorageError
from wslpet.server.storage.datastore import SeededDatastore

KILLS = int(os.environ.get("KILLS", "40"))
SERVER_KILLS = int(os.environ.get("SERVER_KILLS", "2"))
SERVER_KILL_SECONDS = float(os.environ.get("SERVER_KILL_SECONDS", "inf"))
IMAGES = ("one", "two")


@dataclass
class Told:
    """Acknowledged writes, in order, and writes that had begun when the writers were killed."""

    done: list[dict] = field(default_factory=list)
    begun: list[dict] = field(default_factory=list)

    def apply_record(self, lines: bytes) -> None:
        for line in lines.splitlines():
            word, _, text = line.decode().partition(" ")
            record = json.loads(text)
            if word == "done":
                self.done.append(record)
                self.begun.remove(record)
            else:
                self.begun.append(record)


def write_for_ever(folder: Path, pipe: int, start: int) -> None:
    """A child's life: writes of every kind, each told before and after."""

    def tell(word: str, record: dict) -> None:
        os.write(pipe, f"{word} {json.dumps(record)}\n".encode())

    store = SeededDatastore(str(folder), Settings())
    settings = Settings()
    network = new_network(settings).eval()
    published = ModelRegistry(folder / ".wslpet" / "model" / "wslpet.pt")
    for number in range(start, start + 9990):
        kind = ("seed", "label", "seed", "image", "info", "weights")[number % 6]
        image = IMAGES[number // 6 % 2]
        record = {"kind": kind, "image": image, "number": number}
        tell("begun", record)
        if kind == "seed":
            store.seeds.append(image, Seed("lung", (number, 0, 0), user="ann"))
        elif kind == "label":
            _label(folder.parent / "label.nii.gz", number)
            store.save_label(image, str(folder.parent / "label.nii.gz"), "draft", {"number": number})
        elif kind == "image":
            store.add_image(f"new{number}", str(folder.parent / "upload.nii.gz"), {})
        elif kind == "info":
            store.update_image_info(image, {"note": number})
        else:
            with np.errstate(all="ignore"):
                next(iter(network.parameters())).data.fill_(number)
            published.publish(Model(network, settings))
        tell("done", record)


def _label(path: Path, number: int) -> None:
    path.write_bytes(packed(nifti(np.full((6, 6, 6), number % 250, np.uint8))))


def _life(folder: Path, start: int, writes: int, seconds: float) -> bytes:
    """What a child told before it was killed, `seconds` after so many of its writes were done."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            write_for_ever(folder, writing, start)
        finally:
            os._exit(1)
    os.close(writing)
    told = b""
    while told.count(b"done ") < writes and (piece := os.read(reading, 1 << 16)):
        told += piece
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while piece := os.read(reading, 1 << 16):
        told += piece
    os.close(reading)
    return told


def test_writers_that_are_killed_lose_nothing(tmp_path, capsys):
    folder = tmp_path / "studies"
    folder.mkdir()
    for name in IMAGES:
        (folder / f"{name}.nii.gz").write_bytes(packed(nifti(pet())))
    (tmp_path / "upload.nii.gz").write_bytes(packed(nifti(pet())))
    rng, told = random.Random(7), Told()
    for kill in range(KILLS):
        # Each kind of write is first in turn; numbers grow.
        start = 9996 * kill + kill % 6
        told.apply_record(_life(folder, start, rng.randint(1, 6), rng.uniform(0, 0.03)))
        _check(folder, told)
    kinds = {record["kind"] for record in told.done}
    assert kinds == {"seed", "label", "image", "info", "weights"}, kinds
    with capsys.disabled():
        print(f"{KILLS} kills, {len(told.done)} acknowledged writes, none lost")
    assert {path.name for path in tmp_path.iterdir()} == {"studies", "upload.nii.gz", "label.nii.gz"}


def _check(folder: Path, told: Told) -> None:
    store = SeededDatastore(str(folder), Settings())
    listed = json.loads((folder / "datastore_v2.json").read_text())["objects"]

    def of(kind: str, image: str | None = None) -> list[int]:
        return [r["number"] for r in told.done if r["kind"] == kind and image in (None, r["image"])]

    def last(kind: str, image: str) -> set[int | None]:
        """The number of the last write that was told, and those of writes that were begun after it."""
        told_last = (of(kind, image) or [None])[-1]
        begun = [r["number"] for r in told.begun if (r["kind"], r["image"]) == (kind, image)]
        return {told_last, *(n for n in begun if told_last is None or n > told_last)}

    for image in IMAGES:
        kept = [int(seed.position[0]) for seed in store.seeds.get(image)]
        assert set(of("seed", image)) <= set(kept)
        assert kept == sorted(kept)
        label = listed[image]["labels"].get("draft")
        assert of("label", image) == [] or label is not None
        if label is not None:
            number = label["info"].get("number")
            content = nifti_values(folder / "labels" / "draft" / f"{image}.nii.gz")
            assert content in {n % 250 for n in {*last("label", image), number} if n is not None}
        if of("info", image):
            assert listed[image]["image"]["info"]["note"] >= of("info", image)[-1]
    for number in of("image"):
        assert (folder / f"new{number}.nii.gz").read_bytes() == (folder.parent / "upload.nii.gz").read_bytes()
        assert f"new{number}" in listed
    if of("weights"):
        first = next(iter(load_model(folder / ".wslpet" / "model" / "wslpet.pt").network.parameters()))
        assert float(first.detach().flatten()[0]) >= of("weights")[-1]


def nifti_values(path: Path) -> int:
    values = np.unique(np.asarray(nib.load(path).dataobj))
    assert len(values) == 1
    return int(values[0])


@pytest.fixture
def ward(tmp_path):
    """A server of its own, to be killed, on four scans."""
    studies = tmp_path / "studies"
    studies.mkdir()
    scans = [write_scan(studies, f"case{n}", "lps", ("lung", "oesophagus")[n % 2]) for n in range(4)]
    server = Server(studies, tmp_path / "scratch")
    yield server, scans
    server.kill()


def test_a_server_that_is_killed_under_load_loses_nothing(ward, capsys):
    server, scans = ward
    clicks: dict[str, list[list[int]]] = {scan.name: [] for scan in scans}
    images: list[str] = []
    rng = random.Random(11)
    upload = packed(nifti(pet()))
    statuses: set[int] = set()

    def until_it_dies(work):
        for number in range(100_000):
            try:
                work(number)
            except requests.RequestException:
                return

    def annotator(scan):
        def click(number):
            index = [scan.click[0], scan.click[1], scan.click[2] + number % 9 - 4]
            answer = server.click(scan.name, scan.cancer_type, index, output="json")
            statuses.add(answer.status_code)
            if answer.status_code == 200:
                clicks[scan.name].append(index)

        return click

    def uploader(kill):
        def add(number):
            name = f"new-{kill}-{number}"
            url = f"{server.url}/datastore/image?image={name}"
            answer = requests.put(url, files={"file": ("x.nii.gz", upload)}, timeout=60)
            statuses.add(answer.status_code)
            if answer.status_code == 200:
                images.append(name)

        return add

    server.start()
    end = time.monotonic() + SERVER_KILL_SECONDS
    for kill in range(SERVER_KILLS):
        if time.monotonic() > end:
            break
        work = [*map(annotator, scans), uploader(kill)]
        people = [threading.Thread(target=until_it_dies, args=(each,)) for each in work]
        before = sum(map(len, clicks.values())), len(images)
        for person in people:
            person.start()
        if sum(map(len, clicks.values())) >= 8:
            requests.post(f"{server.url}/train/wslpet", json={"max_epochs": 3}, timeout=60)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if sum(map(len, clicks.values())) > before[0] and len(images) > before[1]:
                break
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 1.5))
        server.kill()
        for person in people:
            person.join(60)
        assert not any(person.is_alive() for person in people)
        server.start()
        listed = requests.get(f"{server.url}/datastore/?output=all", timeout=60).json()["objects"]
        assert set(images) <= set(listed), f"kill {kill + 1}"
        for scan in scans:
            kept = [seed["index"] for seed in server.seeds(scan.name)]
            assert _is_within(clicks[scan.name], kept), f"kill {kill + 1}, {scan.name}"
            # A click that was recorded, but not acknowledged any more.
            assert len(kept) <= len(clicks[scan.name]) + kill + 1, f"kill {kill + 1}, {scan.name}"
        assert statuses == {200}, f"kill {kill + 1}"
        survived = kill + 1
        acknowledged = sum(map(len, clicks.values()))
        if SERVER_KILLS > 2:
            with capsys.disabled():
                print(
                    f"{survived} kills of a server: {acknowledged} clicks, {len(images)} images, none lost", flush=True
                )
    assert acknowledged >= survived >= 1


def _is_within(told: list, kept: list) -> bool:
    """Whether all of `told` is in `kept`, in its order."""
    left = iter(kept)
    return all(any(one == other for other in left) for one in told)


def test_a_full_disk_is_an_error_and_keeps_the_old_files(tmp_path, monkeypatch):
    folder = tmp_path / "studies"
    folder.mkdir()
    (folder / "one.nii.gz").write_bytes(packed(nifti(pet())))
    store = SeededDatastore(str(folder), Settings())
    store.seeds.append("one", Seed("lung", (1, 2, 3)))
    _label(tmp_path / "old.nii.gz", 1)
    _label(tmp_path / "new.nii.gz", 2)
    store.save_label("one", str(tmp_path / "old.nii.gz"), "final", {})
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    def write(*_):
        return store.save_label("one", str(tmp_path / "new.nii.gz"), "final", {})

    steps = (
        "wslpet.core.atomic_io.os.fsync",
        "wslpet.core.atomic_io.os.replace",
        "wslpet.server.storage.datastore.shutil.copyfile",
    )
    for step in (*steps, "wslpet.server.storage.annotations.seed_log.os.write"):
        with monkeypatch.context() as broken:
            broken.setattr(step, full)
            with pytest.raises(StorageError, match="No space left"):
                write()
        after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}
        kept = {path: content for path, content in after.items() if "superseded" not in path.parts}
        old = {path: content for path, content in before.items() if "superseded" not in path.parts}
        assert kept == old, step
        assert len(store.seeds.get("one")) == 2
    write()
    assert nifti_values(folder / "labels" / "final" / "one.nii.gz") == 2
    superseded = [path for path in (folder / ".wslpet" / "superseded").rglob("*.nii.gz")]
    assert {nifti_values(path) for path in superseded} == {1}
