"""Two server processes on the same studies: each sees what the other was told, and nothing is lost."""

import threading

import pytest
import requests

from tests.helpers.app_server import Server
from tests.helpers.bad_scans import nifti, packed, pet
from tests.helpers.synthetic import write_scan

CLICKS = 8


@pytest.fixture
def servers(tmp_path):
    studies = tmp_path / "studies"
    studies.mkdir()
    scan = write_scan(studies, "case", "lps")
    pair = [Server(studies, tmp_path / f"scratch{n}").start() for n in range(2)]
    yield pair, scan
    for server in pair:
        server.stop()


def test_two_servers_share_the_studies(servers):
    pair, scan = servers
    told: list[list[int]] = []

    def annotate(server, column):
        for n in range(CLICKS):
            index = [scan.click[0] + column, scan.click[1], scan.click[2] + n - 4]
            assert server.click("case", "lung", index, output="json").status_code == 200
            told.append(index)

    people = [threading.Thread(target=annotate, args=(server, n)) for n, server in enumerate(pair)]
    for person in people:
        person.start()
    for person in people:
        person.join()
    assert len(told) == 2 * CLICKS
    seen = [[seed["index"] for seed in server.seeds("case")] for server in pair]
    assert seen[0] == seen[1]
    assert sorted(seen[0]) == sorted(told)

    files = {"file": ("x.nii.gz", packed(nifti(pet())))}
    answer = requests.put(f"{pair[0].url}/datastore/image?image=shared", files=files, timeout=60)
    assert answer.status_code == 200
    assert pair[1].click("shared", "lung", [6, 4, 7], output="json").status_code == 200
    assert len(pair[0].seeds("shared")) == 1
