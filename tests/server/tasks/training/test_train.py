"""Clicks → training → weights that the next inference uses."""

import time

import nibabel as nib
import numpy as np
import psutil
import pytest
import requests
import torch

from wslpet.core.settings import Settings
from wslpet.method.network.checkpoint import Model, load_model, new_network, save_model


def test_training_reports_and_publishes(trained_clinic):
    stats = trained_clinic.server.info()["train_stats"]["wslpet"]
    assert stats["published"] is True
    assert 1 <= stats["epoch"] <= stats["total_epochs"] == 6
    assert stats["total_time"]
    assert 0 <= stats["best_metric"] <= 1
    assert np.isfinite(stats["train"]["metrics"]["loss"])
    assert {"val_loss", "localisation_rate", "type_accuracy"} == set(stats["eval"]["metrics"])
    assert sum(stats["patients"].values()) >= 8
    assert list(trained_clinic.server.studies.glob(".wslpet/model/train_01/*/events.*"))


def test_new_weights_are_used_for_the_next_request(trained_clinic):
    server = trained_clinic.server
    version = server.info()["train_stats"]["wslpet"]["model_version"]
    answer = server.infer("wslpet", "wait1", output="json")
    assert answer.status_code == 200, answer.text
    assert answer.json()["model_version"] == version
    assert sum(answer.json()["type_probabilities"].values()) == pytest.approx(1)


def test_seed_free_mask_has_the_images_geometry(trained_clinic):
    for name in ("permuted_lung", "off_origin_oesophagus", "oblique_lung"):
        scan = trained_clinic.scans[name]
        path, answer = trained_clinic.server.client().infer("wslpet", name, {})
        image = nib.load(path)
        np.testing.assert_allclose(image.affine, scan.affine, atol=1e-3)
        assert image.shape == scan.shape
        mask = np.asarray(image.dataobj)
        assert set(np.unique(mask)) <= {0, answer["label_names"][answer["cancer_type"]]}


@pytest.fixture(scope="module")
def untaught(trained_clinic, tmp_path_factory):
    """The server with weights in use that know nothing; returns their version."""
    torch.manual_seed(0)
    history = {"patients": {}, "best": {}, "epochs": 0}
    model = Model(new_network(Settings()).eval(), Settings(), history)
    path = tmp_path_factory.mktemp("untaught") / "model.pt"
    save_model(model, path)
    with open(path, "rb") as file:
        answer = requests.put(f"{trained_clinic.server.url}/model/wslpet", files={"file": file}, timeout=60)
    assert answer.status_code == 200, answer.text
    assert version_in_use(trained_clinic.server) == model.version
    return model.version


@pytest.fixture(scope="module")
def taught(trained_clinic, untaught):
    """The statistics of a training of which the few patients cannot tell that it beats them: somebody decides so."""
    server = trained_clinic.server
    task = server.train(max_epochs=12, from_scratch=True)
    assert task["status"] == "DONE", task["details"]
    stats = server.info()["train_stats"]["wslpet"]
    assert version_in_use(server) == untaught
    run = requests.get(f"{server.url}/wslpet/api/training", timeout=30).json()["runs"][0]
    assert run["has_weights"] and run["decision"] is None
    answer = requests.post(
        f"{server.url}/wslpet/api/training/decision",
        json={"run": run["id"], "use": True, "annotator": "Ann"},
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    decision = answer.json()["runs"][0]["decision"]
    assert (decision["use"], decision["user"], decision["verdict"]) == (True, "Ann", "cannot tell")
    return stats


def test_weights_that_somebody_decided_for_replace_those_in_use(trained_clinic, untaught, taught):
    assert taught["published"] is False
    assert taught["judgement"]["verdict"] == "cannot tell"
    assert taught["model_version"] != untaught
    assert version_in_use(trained_clinic.server) == taught["model_version"]


def test_the_segmenter_learns_from_the_clicks_and_is_part_of_the_weights(trained_clinic, taught):
    told = taught["segmenter"]
    assert told["steps"] == 12 * Settings().segmenter_steps and told["patients"] >= 4
    model = load_model(trained_clinic.server.studies / ".wslpet" / "model" / "wslpet.pt")
    assert model.version == taught["model_version"]
    assert (model.segmenter is not None) == told["kept"]


def test_weights_not_shown_to_be_better_do_not_replace_those_in_use(trained_clinic, taught):
    task = trained_clinic.server.train(max_epochs=1, from_scratch=True)
    assert task["status"] == "DONE", task["details"]
    stats = trained_clinic.server.info()["train_stats"]["wslpet"]
    assert stats["published"] is False
    assert "ecide on the page" in stats["not_published"]
    assert stats["model_version"] != taught["model_version"]
    assert version_in_use(trained_clinic.server) == taught["model_version"]


def test_a_training_starts_from_the_weights_in_use(trained_clinic, taught):
    task = trained_clinic.server.train(max_epochs=1)
    assert task["status"] == "DONE", task["details"]
    assert trained_clinic.server.info()["train_stats"]["wslpet"]["from_scratch"] is False


def version_in_use(server):
    return server.infer("wslpet", "wait1", output="json").json()["model_version"]


def test_training_runs_while_others_are_served(trained_clinic):
    server = trained_clinic.server
    assert requests.post(f"{server.url}/train/wslpet", json={"max_epochs": 500}, timeout=30).ok
    while not server.client().train_status(check_if_running=True):
        time.sleep(0.05)
    training = next(
        process
        for process in psutil.Process(server.pid).children()
        if "monailabel.interfaces.utils.app" in process.cmdline()
    )
    assert training.environ()["OMP_WAIT_POLICY"] == "PASSIVE"
    version = version_in_use(server)
    assert requests.post(f"{server.url}/train/wslpet", json={}, timeout=30).status_code == 429
    assert requests.delete(f"{server.url}/train/", timeout=30).ok
    assert version_in_use(server) == version
