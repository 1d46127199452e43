"""Cancer types that were renamed in the settings, or dropped from them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.helpers.synthetic import write_scan
from wslpet.core.errors import InputError, TrainingError
from wslpet.core.seeds import NO_TUMOUR, Seed
from wslpet.core.settings import Settings
from wslpet.method.network.checkpoint import Model, new_network, save_model
from wslpet.server.configuration import configuration_from
from wslpet.server.storage.datastore import SeededDatastore
from wslpet.server.storage.opening import open_studies
from wslpet.server.tasks.active_model import ActiveModel
from wslpet.server.tasks.training.train import LearnFromSeeds

RENAMED = Settings(types=("lung", "esophagus"))


@pytest.fixture
def studies(tmp_path):
    folder = tmp_path / "studies"
    folder.mkdir()
    for name in ("p0", "p1", "p2", "p3"):
        write_scan(folder, name)
    store = SeededDatastore(str(folder), Settings())
    for name, cancer_type in zip(("p0", "p1", "p2", "p3"), ("oesophagus", "oesophagus", "lung", "lung"), strict=True):
        store.seeds.append(name, Seed(cancer_type, (-75, 30, 110), user="Ann"))
    return folder


def test_patients_of_a_removed_type_are_to_be_annotated_and_reported(studies):
    store = open_studies(str(studies), RENAMED)
    assert store.waiting() == ["p0", "p1"] and set(store.seeded()) == {"p2", "p3"}
    assert store.status()["completed"] == store.status()["seeded"] == 2
    assert "annotated as oesophagus by Ann" in store.uncounted()["p0"]
    (remark,) = store.status()["remarks"]
    assert "2 patients are annotated as oesophagus, which is no type here (lung, esophagus)" in remark
    assert '--conf rename "oesophagus:esophagus"' in remark
    task = LearnFromSeeds(ActiveModel(studies / "none.pt", None, RENAMED), RENAMED)
    with pytest.raises(TrainingError, match="Not counted: 2 that were annotated, such as p0: annotated as oesophagus"):
        task.check({}, store)


def test_a_renamed_type_is_read_from_the_log_under_its_new_name(studies):
    log = (studies / ".wslpet" / "seeds.jsonl").read_bytes()
    store = open_studies(str(studies), RENAMED, renamed={"oesophagus": "esophagus"})
    assert store.waiting() == [] and store.remarks() == [] and store.uncounted() == {}
    assert [store.seeded()[name].cancer_type for name in ("p0", "p2")] == ["esophagus", "lung"]
    assert store.get_image_info("p0")["seeds"][0]["cancer_type"] == "esophagus"
    assert store.seeds.history("p0")[0].cancer_type == "esophagus"
    LearnFromSeeds(ActiveModel(studies / "none.pt", None, RENAMED), RENAMED).check({}, store)
    assert (studies / ".wslpet" / "seeds.jsonl").read_bytes() == log
    assert set(open_studies(str(studies), Settings()).seeded()) == {"p0", "p1", "p2", "p3"}, "nothing is lost"


def test_a_dropped_type_is_reported_without_a_suggestion(studies):
    remarks = open_studies(str(studies), Settings(types=("breast", "cervix"))).remarks()
    assert len(remarks) == 2 and all("NEW NAME" in remark for remark in remarks)


def test_no_tumour_can_be_a_removed_type(studies):
    SeededDatastore(str(studies), Settings()).seeds.append("p3", Seed(NO_TUMOUR, (0, 0, 0)))
    store = open_studies(str(studies), Settings())
    assert store.waiting() == ["p3"] and "annotated as no tumour" in store.remarks()[0]
    assert open_studies(str(studies), Settings(no_tumour=True)).waiting() == []


def test_weights_know_a_type_by_its_former_name(tmp_path):
    old = Model(new_network(Settings()).eval(), Settings())
    save_model(old, tmp_path / "wslpet.pt")
    assert ActiveModel(tmp_path / "wslpet.pt", None, RENAMED, "cpu").current() is None
    model = ActiveModel(tmp_path / "wslpet.pt", None, RENAMED, "cpu", {"oesophagus": "esophagus"}).current()
    assert model.settings.types == ("lung", "esophagus") and model.version == old.version
    for one, other in zip(model.network.parameters(), old.network.parameters(), strict=True):
        np.testing.assert_array_equal(one.detach(), other.detach())


def test_the_setting_rename_is_parsed():
    conf = {"types": "lung,esophagus,breast", "rename": "oesophagus:esophagus, mamma : breast"}
    assert configuration_from(conf).renamed == {"oesophagus": "esophagus", "mamma": "breast"}
    assert configuration_from({}).renamed == {}


@pytest.mark.parametrize(
    ("rename", "said"),
    [
        ("oesophagus", "write it like"),
        ("oesophagus=esophagus", "write it like"),
        ("oesophagus:", "write it like"),
        (":lung", "write it like"),
        ("oesophagus:gullet", "'gullet' is no cancer type here"),
        ("lung:esophagus", "is still a cancer type here"),
        ("a:lung,a:esophagus", "is given twice"),
    ],
)
def test_settings_that_cannot_be_are_refused(rename, said):
    with pytest.raises(InputError, match=said):
        configuration_from({"types": "lung,esophagus", "rename": rename})
