"""The page's API, without a browser: who is next, what is refused, what is documented."""

import json

import pytest
import requests


@pytest.fixture(scope="module")
def scans(scans):
    scans["ras"].path.with_name("broken.nii.gz").write_bytes(b"no scan")
    return scans


def test_next_excludes_and_gives_each_browser_its_own(ask):
    def next_(client, *exclude):
        return ask("next", "POST", json={"strategy": "first", "client": client, "exclude": exclude}).json()["image"]

    mine = next_("a")
    theirs = next_("b")
    assert mine != theirs
    assert next_("a", mine) not in (mine, theirs)


@pytest.mark.parametrize(
    ("path", "method", "body", "status", "words"),
    [
        ("images/nobody", "GET", None, 404, "not in the datastore"),
        ("images/broken", "GET", None, 400, "cannot be read"),
        ("images/broken/thumbnail", "GET", None, 400, "cannot be read"),
        ("images/ras/slices/axial/9999", "GET", None, 400, "there are 0 to"),
        ("images/ras/prediction", "GET", None, 400, "no weights yet"),
        ("images/ras/delineation", "POST", {"position": [9e5, 0, 0], "cancer_type": "lung"}, 400, "outside"),
        ("images/ras/annotations", "POST", {"cancer_type": "liver", "position": [0, 0, 0]}, 400, "unknown cancer type"),
        ("images/ras/annotations", "POST", {"cancer_type": "lung"}, 400, "click on the tumour"),
        ("images/ras/annotations", "POST", {"cancer_type": "lung", "position": [1, 2]}, 422, ""),
        ("next", "POST", {"strategy": "magic"}, 404, "does not exist"),
        ("training", "POST", {}, 400, "training needs"),
    ],
)
def test_bad_requests_are_refused_with_a_sentence(server, ask, path, method, body, status, words):
    before = len(server.seeds("ras"))
    answer = ask(path, method, status, json=body)
    assert words in str(answer.json()["detail"])
    assert len(server.seeds("ras")) == before


def test_an_unreadable_image_says_why_in_the_cohort(ask):
    ask("images/broken/thumbnail", status=400)
    rows = {row["image"]: row for row in ask("cohort").json()["rows"]}
    assert rows["broken"]["state"] == "unreadable" and "cannot be read" in rows["broken"]["reason"]


def test_the_page_is_served_and_its_security_policy_allows_no_other_host(server):
    answer = requests.get(f"{server.url}/wslpet", timeout=30)
    assert answer.url.endswith("/wslpet/") and "<title>WSL-PET</title>" in answer.text
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]


def test_the_api_is_documented(server):
    paths = requests.get(f"{server.url}/openapi.json", timeout=30).json()["paths"]
    own = {path: json.dumps(said) for path, said in paths.items() if path.startswith("/wslpet/api/")}
    assert len(own) > 12
    assert all("summary" in said for said in own.values())
