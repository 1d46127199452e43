"""What was acknowledged is there after a kill; what needs weights says so without them."""

import json
import threading
import time

import pytest
import requests

from tests.helpers.app_server import Server
from tests.helpers.synthetic import write_scan


@pytest.fixture
def ward(tmp_path):
    """A server of its own, to be killed, on four scans."""
    studies = tmp_path / "studies"
    studies.mkdir()
    scans = [write_scan(studies, f"case{n}", "lps", ("lung", "oesophagus")[n % 2]) for n in range(4)]
    server = Server(studies, tmp_path / "scratch").start()
    yield server, scans
    server.kill()


def test_a_kill_loses_no_acknowledged_click(ward):
    server, scans = ward
    # Without weights and seeds: clear refusals.
    answer = server.infer("wslpet", "case0")
    assert answer.status_code == 400
    assert "train" in answer.json()["detail"]
    answer = requests.post(f"{server.url}/train/wslpet", json={}, timeout=30)
    assert answer.status_code == 400
    assert "0 lung, 0 oesophagus" in answer.json()["detail"]

    acknowledged = []
    for n in range(40):
        scan = scans[n % 4]
        index = [scan.click[0], scan.click[1], scan.click[2] + n // 4 - 5]
        assert server.click(scan.name, scan.cancer_type, index, output="json").status_code == 200
        acknowledged.append((scan.name, index))
    server.kill()

    with open(server.studies / "datastore_v2.json") as file:
        json.load(file)
    server.start()
    found = [(name, seed["index"]) for name in (s.name for s in scans) for seed in server.seeds(name)]
    assert sorted(found) == sorted(acknowledged)


def test_a_kill_under_load_loses_no_acknowledged_click(ward):
    server, scans = ward
    acknowledged: list[tuple[str, list[int]]] = []

    def annotate(scan):
        for n in range(1000):
            index = [scan.click[0], scan.click[1], scan.click[2] + n % 9 - 4]
            try:
                answer = server.click(scan.name, scan.cancer_type, index, output="json")
            except requests.RequestException:
                return
            if answer.status_code == 200:
                acknowledged.append((scan.name, index))

    annotators = [threading.Thread(target=annotate, args=(scan,)) for scan in scans]
    for annotator in annotators:
        annotator.start()
    deadline = time.monotonic() + 60
    while len(acknowledged) <= 10 and time.monotonic() < deadline:
        time.sleep(0.05)
    server.kill()
    for annotator in annotators:
        annotator.join(30)
    server.start()
    assert len(acknowledged) > 10
    for scan in scans:
        told = [index for name, index in acknowledged if name == scan.name]
        # At most one more was written and not told to anyone.
        kept = [seed["index"] for seed in server.seeds(scan.name)]
        assert kept[: len(told)] == told
        assert len(kept) <= len(told) + 1
