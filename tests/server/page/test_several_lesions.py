"""The page's API with several lesions: seen, recorded, exported, imported again."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
import requests

from tests.helpers.app_server import Server
from tests.helpers.synthetic import TUMOUR, write_scan

# From the lung tumour to the heart of the synthetic scans, mm.
TO_HEART = np.array([35.0, 45.0, 60.0]) - TUMOUR["lung"]


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return write_scan(tmp_path_factory.mktemp("studies"), "case", "permuted")


@pytest.fixture(scope="module")
def server(scan, tmp_path_factory):
    started = Server(scan.path.parent, tmp_path_factory.mktemp("scratch")).start()
    yield started
    started.stop()


def ask(server, path, status=200, **body):
    method = "POST" if body else "GET"
    answer = requests.request(method, f"{server.url}/wslpet/api/{path}", timeout=60, **body)
    assert answer.status_code == status, answer.text
    return answer


def test_several_lesions_are_seen_recorded_exported_and_imported(server, scan):
    heart = (scan.centre + TO_HEART).tolist()
    seeds = [{"position": scan.centre.tolist()}, {"position": heart, "contour": {"method": "41%", "step": -1}}]
    background = [(scan.centre - np.array([0, 60, 0])).tolist()]
    click = {"cancer_type": "lung", "seeds": seeds, "background": background}
    tried = ask(server, "images/case/delineation", json=click).json()
    assert [lesion["number"] for lesion in tried["lesions"]] == [1, 2]
    assert tried["volume_ml"] == tried["lesions"][0]["volume_ml"] and tried["mask"] == tried["lesions"][0]["mask"]
    assert tried["mtv_ml"] == pytest.approx(sum(lesion["volume_ml"] for lesion in tried["lesions"]))
    for lesion, centre in zip(tried["lesions"], (scan.centre, heart), strict=True):
        assert np.linalg.norm(np.array(lesion["centroid"]) - centre) < 10
    saved = ask(server, "images/case/annotations", 201, json={**click, "annotator": "Ann", "id": "one"}).json()
    assert [seed["contour"]["method"] for seed in saved["annotation"]["seeds"]] == ["ours", "41 %"]
    np.testing.assert_allclose(saved["annotation"]["background"], background, atol=0.01)
    again = ask(server, "images/case/annotations", 201, json={**click, "annotator": "Ann", "id": "one"}).json()
    assert again["known"] and len(again["history"]) == 1
    table = ask(server, "annotations.csv").content
    rows = list(csv.DictReader(io.StringIO(table.decode())))
    assert [(row["lesion"], row["contour"], row["step"]) for row in rows] == [
        ("1", "ours", "0"), ("2", "41 %", "-1"), ("background", "", ""),
    ]  # fmt: skip
    told = ask(server, "annotations.csv", files={"file": ("table.csv", table)}).json()
    assert (told["recorded"], told["known"], told["refused"]) == (0, 1, [])
    ask(server, "images/case/annotations/withdraw", json={"time": saved["annotation"]["time"]})
    moved = table.replace(b",Ann,", b",Eve,")
    told = ask(server, "annotations.csv", files={"file": ("table.csv", moved)}).json()
    assert (told["recorded"], told["refused"]) == (1, [])
    newest = server.seeds("case")[-1]
    assert newest["user"] == "Eve" and len(newest["seeds"]) == 2 and len(newest["background"]) == 1
    assert newest["seeds"][1]["contour"] == {"method": "41 %", "step": -1}


def test_a_click_with_both_position_and_seeds_or_an_unknown_contour_is_refused(server, scan):
    place = scan.centre.tolist()
    both = {"cancer_type": "lung", "position": place, "seeds": [{"position": place}]}
    assert "give one of them" in ask(server, "images/case/delineation", 422, json=both).text
    unknown = {"cancer_type": "lung", "seeds": [{"position": place, "contour": {"method": "39 %"}}]}
    assert "39 %" in ask(server, "images/case/delineation", 400, json=unknown).text
