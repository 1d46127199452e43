from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.helpers.blobs import dice
from tests.helpers.study_cohort import write_study_cohort
from wslpet.core.settings import settings_from
from wslpet.method.network.checkpoint import Model, new_network
from wslpet.method.network.inputs import collate
from wslpet.study.design.plan import Plan
from wslpet.study.design.study import open_study
from wslpet.study.systems import SYSTEMS, cams_fcn, rpet, unet
from wslpet.study.systems.cams import cam_settings

TRIAL = Plan(epochs=1, tuning_epochs=1, cam_epochs=1, fcn_epochs=1, unet_steps=1, rpet_epochs=1)


@pytest.fixture(scope="module")
def patients(tmp_path_factory):
    table = write_study_cohort(tmp_path_factory.mktemp("cohort"), 12)
    return open_study(table, tmp_path_factory.mktemp("study"), "try").patients


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_learns_and_finds(name, patients):
    said = []
    done = SYSTEMS[name].learn(patients, TRIAL, lambda share, line: said.append(share))
    volume = patients[3].volume()
    found = done.find(patients[3], volume)
    assert found.mask.shape == volume.shape and found.mask.dtype == bool
    assert found.cancer_type in (None, *TRIAL.types)
    assert all(0 <= share <= 1 for share in said) and said == sorted(said)
    assert (done.model is not None) == (name in ("cams", "ours", "shipped"))


def test_every_system_says_what_it_is():
    for name, system in SYSTEMS.items():
        assert system.name == name
        assert system.title and system.reference and system.supervision and system.test_input
    assert {s.paper for s in SYSTEMS.values() if s.paper} == {
        "U-NET",
        "CAMs alone",
        "CAMs & FCNs",
        "3d-rpet-Net",
        "Our",
    }


@pytest.mark.parametrize("name", ["click", "click-41"])
def test_a_click_finds_the_tumour_wherever_the_scan_keeps_it(name, patients):
    finder = SYSTEMS[name].learn(patients, TRIAL, lambda *_: None)
    for patient in patients:
        volume = patient.volume()
        assert dice(finder.find(patient, volume).mask, patient.truth(volume)) > 0.7


class Threshold(nn.Module):
    """Stands for a U-Net that has learned: sure of tumour above SUV 4."""

    def forward(self, images):
        return (images - float(unet.scaled(np.array(4.0)))) * 1000


def test_what_the_unet_says_is_put_back_where_it_belongs(patients):
    for patient in patients:
        volume = patient.volume()
        found = unet._find(Threshold(), patient, volume).mask
        assert dice(found, volume.array > 4) > 0.85


def test_the_unet_sees_tumour_in_every_second_patch(patients):
    rng, grid = np.random.default_rng(0), patients[0].grid()
    for _ in range(20):
        image, mask = unet._patch(grid, rng, tumour=True)
        assert image.shape == mask.shape == (unet.PATCH,) * 3
        assert mask.any() and image[mask > 0].mean() > image[mask == 0].mean()


def test_the_unet_learns(patients):
    said = []
    plan = Plan(unet_steps=30)
    finder = unet.learn(patients[:4], plan, lambda share, line: said.append(float(line.split()[-1])))
    assert said[-1] < said[0]
    assert finder.model is None


def test_cams_alone_are_not_told_where():
    assert cam_settings(TRIAL).distance == "off"


def test_what_fcns_learn_from_comes_of_types_alone(patients):
    """The seeds could be anywhere: the pseudo-masks do not look at them, and lie where the MIP is hot."""
    settings = settings_from()
    cams = Model(new_network(settings).eval(), settings)
    examples = [patient.example() for patient in patients[:2]]
    batch = collate([example.to("cpu") for example in examples], settings)
    masks = cams_fcn.pseudo_masks(cams, batch)
    moved = {view: points + 50 for view, points in batch.points.items()}
    again = cams_fcn.pseudo_masks(cams, replace(batch, points=moved))
    for view, mask in masks.items():
        assert mask.shape == (2, 1, *batch.images[view].shape[2:])
        assert torch.equal(mask, again[view])
        for own, example in zip(mask[:, 0], examples, strict=True):
            mip = example.images[view][0]
            inside = own[: mip.shape[0], : mip.shape[1]].bool().numpy()
            assert own.sum() == inside.sum()
            assert not inside.any() or mip[inside].min() >= cams_fcn.SUV_SHARE * mip[inside].max() - 1e-6


def test_the_fcns_map_leads_to_the_tumour(patients):
    """An FCN that is sure of tumour where the MIP is hot finds what is hot."""
    settings = settings_from()
    cams = Model(new_network(settings).eval(), settings)

    class Hot(nn.Module):
        def forward(self, images):
            return (images[:, :1] - 0.45) * 100

    for patient in patients[:4]:
        volume = patient.volume()
        assert dice(cams_fcn._find(cams, Hot(), patient, volume).mask, patient.truth(volume)) > 0.7


def test_rpet_looks_at_the_tumour_and_nothing_else(patients):
    for patient in patients[:4]:
        uptake, mask = rpet.box(rpet.surroundings(patient.grid())).numpy()
        truth = patient.grid().truth
        assert mask.sum() == truth.sum()
        assert (uptake[mask == 0] == 0).all() and (uptake[mask > 0] > 0).all()
        middle = np.argwhere(mask > 0).mean(axis=0)
        assert np.abs(middle - rpet.BOX / 2).max() < 1.5


def test_rpet_makes_no_guess_where_outcomes_are_too_few(patients):
    said = []
    finder = rpet.learn(patients[:4], TRIAL, lambda share, line: said.append(line))
    assert finder.find(patients[0], patients[0].volume()).good is None
    assert any("rarer outcome" in line for line in said)
