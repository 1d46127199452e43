"""Clicks → training → weights that the next inference uses."""

import time

import nibabel as nib
import numpy as np
import pytest
import requests

from wslpet.core.settings import Settings
from wslpet.method.network.checkpoint import Model, new_network
from wslpet.method.training.trainer import EpochReport, Trained
from wslpet.server.tasks.train import _objection


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


def test_new_weights_answer_at_once(trained_clinic):
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


def test_better_weights_replace_the_old_and_worse_ones_do_not(trained_clinic):
    server = trained_clinic.server
    before = server.infer("wslpet", "wait1", output="json").json()["model_version"]
    task = server.train(max_epochs=3)
    assert task["status"] == "DONE", task["details"]
    stats = server.info()["train_stats"]["wslpet"]
    assert stats["from_scratch"] is False
    after = server.infer("wslpet", "wait1", output="json").json()["model_version"]
    assert after == (stats["model_version"] if stats["published"] else before)


def test_training_runs_while_others_are_served(trained_clinic):
    server = trained_clinic.server
    assert requests.post(f"{server.url}/train/wslpet", json={"max_epochs": 500}, timeout=30).ok
    while not server.client().train_status(check_if_running=True):
        time.sleep(0.05)
    version = server.infer("wslpet", "wait1", output="json").json()["model_version"]
    assert requests.post(f"{server.url}/train/wslpet", json={}, timeout=30).status_code == 429
    assert requests.delete(f"{server.url}/train/", timeout=30).ok
    assert server.infer("wslpet", "wait1", output="json").json()["model_version"] == version


@pytest.mark.parametrize(
    ("accuracy", "better", "held_out", "said"),
    [
        (0.49, True, 2, "worse than chance"),
        (float("nan"), True, 2, "worse than chance"),
        (0.9, False, 2, "no better"),
        (0.9, False, 0, "annotate more"),
    ],
)
def test_weights_that_do_badly_are_not_published(accuracy, better, held_out, said):
    assert said in _objection(trained(accuracy, better, held_out))
    assert _objection(trained(0.5, True, held_out)) is None


def trained(accuracy, better, held_out):
    settings = Settings()
    history = {"patients": {"lung": 4, "oesophagus": 5, "no tumour": 0}, "held_out": held_out}
    model = Model(new_network(settings).eval(), settings, history)
    return Trained(model, [EpochReport(1, 1, 1.0, 1.0, 1.0, 1.0, 0.0, accuracy, 1.0, True)], None, better)
