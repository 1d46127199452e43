"""Two readers of each patient over HTTP: blind, compared, reviewed; what counts, and who did what."""

import csv
import io
from urllib.parse import quote

import numpy as np
import pytest
import requests
from PIL import Image

from tests.helpers.app_server import Server
from tests.helpers.synthetic import TUMOUR, write_scan

NODE = TUMOUR["oesophagus"] - TUMOUR["lung"]
ORIENTATION = {"anna": "anisotropic", "bert": "off_origin", "cora": "permuted", "dora": "lps", "emil": "ras"}


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    studies = tmp_path_factory.mktemp("studies")
    return {name: write_scan(studies, name, orientation) for name, orientation in ORIENTATION.items()}


@pytest.fixture(scope="module")
def server(scans, tmp_path_factory):
    studies = scans["anna"].path.parent
    server = Server(studies, tmp_path_factory.mktemp("scratch"), {"readers": "2"}).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def ask(server):
    def ask(path, reader="", status=200, method=None, **body):
        answer = requests.request(
            method or ("POST" if body else "GET"),
            f"{server.url}/wslpet/api/{path}",
            headers={"Wslpet-Reader": quote(reader)},
            json=body or None,
            timeout=120,
        )
        assert answer.status_code == status, answer.text
        return answer

    return ask


def read(ask, scan, reader, cancer_type="lung", status=201, **more):
    body = {"cancer_type": cancer_type, "position": scan.centre.tolist(), "annotator": reader, "sure": True}
    return ask(f"images/{scan.name}/annotations", reader, status, **{**body, **more}).json()


def table(ask, path, reader=""):
    return list(csv.DictReader(io.StringIO(ask(path, reader).content.decode("utf-8-sig"), newline="")))


def cohort(ask, reader):
    return {row["image"]: row for row in ask("cohort", reader).json()["rows"]}


def test_the_second_reader_is_blind_until_the_reading_is_saved(server, scans, ask):
    scan = scans["anna"]
    read(ask, scan, "Änne")
    ask("images/anna/remarks", "Änne", 201, annotator="Änne", unsure=True, comment="lung or node?")
    for hidden in (
        ask("images/anna", "Ben").json()["history"],
        ask("images/anna/annotations", "Ben").json(),
        [row for row in table(ask, "lesions.csv", "Ben") if row["image"] == "anna"],
        [row for row in table(ask, "annotations.csv", "Ben") if row["image"] == "anna"],
        [row for row in table(ask, "annotations.csv?history=true", "Ben") if row["image"] == "anna"],
        server.seeds("anna"),
    ):
        assert hidden == []
    assert ask("images/anna", "Ben").json()["readings"] == {
        "needed": 2,
        "done": 1,
        "mine": False,
        "open": False,
        "reviewed": False,
    }
    assert "hidden until 2 readers" in ask("images/anna/readings", "Ben", 409).json()["detail"]
    assert "hidden" in ask("images/anna/export?form=csv", "Ben", 409).json()["detail"]
    row = cohort(ask, "Ben")["anna"]
    assert (row["state"], row["annotation"], row["mtv_ml"], row["comments"]) == ("unannotated", None, None, [])
    assert not row["unsure"]
    own = cohort(ask, "änne")["anna"]
    assert (own["state"], own["comments"]) == ("annotated", ["Änne: lung or node?"])
    # The outline is on the thumbnail of who may see it.
    assert table(ask, "lesions.csv", "Änne")
    seen, blind = (
        np.array(Image.open(io.BytesIO(ask("images/anna/thumbnail?marks=true", who).content)).convert("RGB"))
        for who in ("Änne", "Ben")
    )
    assert coloured(seen) > 20
    assert coloured(blind) == 0
    answer = read(ask, scan, "Ben")
    assert [said["user"] for said in answer["history"]] == ["Änne", "Änne", "Ben"]
    assert answer["meanwhile"] == []
    assert [said["own"] for said in answer["history"]] == [False, False, True]
    assert len(server.seeds("anna")) == 2


def coloured(picture):
    return int((picture.max(axis=-1) - picture.min(axis=-1) > 60).sum())


def test_readers_are_compared_reviewed_and_the_consensus_counts(scans, ask):
    scan = scans["bert"]
    read(ask, scan, "Ann")
    assert "1 of 2 readers" in read(ask, scan, "Rev", status=409, review=True)["detail"]
    read(ask, scan, "Ben", "oesophagus")
    review = ask("images/bert/readings", "Rev").json()
    assert [one["annotation"]["user"] for one in review["readings"]] == ["Ann", "Ben"]
    assert review["consensus"] is None
    (pair,) = review["agreement"]
    assert (pair["types"], pair["lesions"], pair["matched"]) == (["lung", "oesophagus"], [1, 1], 1)
    assert pair["dice"] == 1
    assert pair["tmtv_difference_ml"] == 0
    assert cohort(ask, "Rev")["bert"]["differs"] == "readers: Ann says lung, Ben oesophagus"
    assert {row["image"]: row["counts"] for row in table(ask, "patients.csv")}["bert"] == "newest reading"
    assert ask("next", "Rev", strategy="review").json()["image"] in ("anna", "bert")
    saved = read(ask, scan, "Rev", "lung", review=True)
    read(ask, scan, "Ben", "oesophagus", id="again")  # a reading never takes the place of a consensus
    row = next(row for row in table(ask, "patients.csv") if row["image"] == "bert")
    assert (row["cancer_type"], row["user"], row["counts"]) == ("lung", "Rev", "consensus")
    assert (row["readers"], row["readers_needed"], row["readers_types_agree"]) == ("Ann; Ben", "2", "false")
    (mine,) = [row for row in table(ask, "annotations.csv") if row["image"] == "bert"]
    assert (mine["cancer_type"], mine["user"]) == ("lung", "Rev")
    events = [row["event"] for row in table(ask, "annotations.csv?history=true") if row["image"] == "bert"]
    assert events == ["seed", "seed", "consensus", "seed"]
    # Taken back by who made it: the readings wait for a reviewer again.
    time = saved["annotation"]["time"]
    assert "superseded" in withdraw(ask, "bert", "Ben", time, 409).json()["detail"]
    withdraw(ask, "bert", "Rev", time)
    assert not ask("images/bert", "Rev").json()["readings"]["reviewed"]


def withdraw(ask, image, reader, time, status=200):
    return ask(f"images/{image}/annotations/withdraw", reader, status, time=time, annotator=reader)


def test_a_reader_withdraws_their_own_reading(scans, ask):
    first = read(ask, scans["cora"], "Ann")
    read(ask, scans["cora"], "Ben", "oesophagus")
    withdraw(ask, "cora", "Ann", first["annotation"]["time"])
    assert cohort(ask, "Ben")["cora"]["readers"] == ["Ben"]
    assert ask("images/cora", "Ann").json()["readings"] == {
        "needed": 2,
        "done": 1,
        "mine": False,
        "open": False,
        "reviewed": False,
    }


def test_agreement_of_the_cohort_equals_that_of_its_patients(scans, ask):
    rows = table(ask, "agreement.csv")
    assert [(row["image"], row["reader_1"], row["reader_2"]) for row in rows] == [
        ("anna", "Ben", "Änne"),
        ("bert", "Ann", "Ben"),
    ]
    found = ask("agreement").json()
    assert (found["needed"], found["pending"]) == (2, 0)
    pairs = {tuple(pair["readers"]): pair for pair in found["pairs"]}
    assert pairs["Ann", "Ben"]["types_agree"] == 0
    assert pairs["Ben", "Änne"]["dice_mean"] == 1
    assert pairs["Ann", "Ben"]["matched"] == int(rows[1]["matched"]) == 1


def test_next_gives_what_the_reader_has_not_read_and_each_viewer_another_patient(server, scans, ask):
    def sample(client):
        answer = requests.post(f"{server.url}/activelearning/first", json={"client_id": client}, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()["id"]

    # Ben has read anna, bert and cora; Ann has taken cora back.
    assert sample("Ben") == "dora"
    assert sample("Ann") == "cora"
    assert sample("Cy") == "emil"
    assert ask("next", "Dan", strategy="first", client="tab").json() == {
        "image": None,
        "waiting": 3,
        "elsewhere": 3,
        "message": "You have read 0 of 5 patients; 3 wait. 3 are open in other browsers.",
    }
    assert sample("Dan") in ("cora", "dora", "emil")  # rather twice than nothing
    assert sample("Ben") == "dora"
    # Who has read a patient in a viewer does not keep it from the second reader.
    click = {"lung": [scans["dora"].click], "client_id": "Ben"}
    assert server.infer("wslpet_seed", "dora", click).status_code == 200
    assert sample("Dan") == "dora"
    status = ask("status", "Ben").json()
    assert (status["read"], status["complete"], status["reviewed"]) == (4, 2, 0)


def test_predictions_of_weights_trained_here_are_hidden_from_a_blind_reader(server, scans, ask, tmp_path):
    read(ask, scans["emil"], "Ann")
    answer = requests.get(f"{server.url}/info/", timeout=60).json()
    assert "review" in answer["strategies"]
    assert ask("images/emil/prediction", "Ben", 400).json()["detail"].startswith("no weights yet")
    from wslpet.method.network.checkpoint import load_model, save_model
    from wslpet.method.shipped import SHIPPED_MODEL

    published = scans["emil"].path.parent / ".wslpet" / "model" / "wslpet.pt"
    published.parent.mkdir(exist_ok=True)
    save_model(load_model(SHIPPED_MODEL), published)
    assert "hidden until 2 readers" in ask("images/emil/prediction", "Ben", 409).json()["detail"]
    refused = server.infer("wslpet", "emil", {"client_id": "Ben"})
    assert refused.status_code == 409, refused.text
    assert ask("images/emil/prediction", "Ann").json()["cancer_type"]


def test_requests_for_unknown_images_or_with_unknown_keys_are_refused(ask):
    assert ask("images/nobody/readings", "Ann", 404).json()["detail"]
    assert ask("images/nobody/remarks", "Ann", 404, annotator="Ann", flag=True).json()["detail"]
    assert ask("images/emil/remarks", "Ann", 422, annotator="Ann", stars=3).json()["detail"]
