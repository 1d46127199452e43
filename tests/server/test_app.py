"""The app as MONAI Label loads it, in this process."""

import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from monailabel.utils.others.class_utils import get_class_of_subclass_from_file

from tests.helpers.synthetic import write_scan
from wslpet.core.errors import InputError, ModelError, SeedError

APP = Path(__file__).resolve().parents[2] / "apps" / "wslpet"


@pytest.fixture
def make_app(tmp_path):
    def make(**conf):
        found = get_class_of_subclass_from_file("main", str(APP / "main.py"), "MONAILabelApp")
        return found(
            app_dir=str(APP),
            studies=str(tmp_path),
            conf={"use_pretrained_model": "false", "wait_for_scans": "true", **conf},
        )

    return make


def test_no_tumour_is_recorded_by_a_click_and_gives_an_empty_mask(make_app, tmp_path):
    scan = write_scan(tmp_path, "healthy")
    app = make_app(no_tumour="true")
    assert app.info()["models"]["wslpet_seed"]["labels"] == {
        "lung": 1,
        "oesophagus": 2,
        "no tumour": 3,
        "background": 4,
    }
    result = app.infer({"model": "wslpet_seed", "image": "healthy", "no tumour": [scan.click], "lung": []})
    assert not np.asarray(nib.load(result["file"]).dataobj).any()
    Path(result["file"]).unlink()
    assert [seed["cancer_type"] for seed in app.datastore().get_image_info("healthy")["seeds"]] == ["no tumour"]


def test_the_cancer_types_are_a_setting(make_app, tmp_path):
    scan = write_scan(tmp_path, "case")
    app = make_app(types="breast,cervix,larynx")
    result = app.infer({"model": "wslpet_seed", "image": "case", "cervix": [scan.click], "result_extension": ".nii"})
    assert set(np.unique(np.asarray(nib.load(result["file"]).dataobj))) == {0, 2}
    Path(result["file"]).unlink()
    with pytest.raises(SeedError, match="breast, cervix, larynx"):
        app.infer({"model": "wslpet_seed", "image": "case", "lung": [scan.click]})


def test_misspelt_conf_stops_the_start(make_app):
    with pytest.raises(InputError, match="did you mean 'types'"):
        make_app(typs="lung,oesophagus")


def test_a_saved_prediction_is_no_annotation(make_app, tmp_path):
    scan = write_scan(tmp_path, "case")
    app = make_app()
    request = {"model": "wslpet_seed", "image": "case", "lung": [scan.click], "save_label": True, "label_tag": "final"}
    app.infer(request)
    assert len(app.datastore().get_image_info("case")["seeds"]) == 1
    assert app.datastore().get_labeled_images() == []


def test_damaged_weights_stop_predictions_but_not_clicks(make_app, tmp_path):
    scan = write_scan(tmp_path, "case")
    app = make_app()
    app.weights.published.parent.mkdir(parents=True)
    app.weights.published.write_bytes(b"not weights")
    with pytest.raises(ModelError, match="cannot be read"):
        app.infer({"model": "wslpet", "image": "case"})
    request = {"model": "wslpet_seed", "image": "case", "lung": [scan.click], "result_write_to_file": False}
    assert app.infer(request)["params"]["lesions"]


@pytest.mark.slow
def test_a_start_does_not_import_the_writers_of_dicom():
    code = """
import sys
import wslpet.server.app, wslpet.server.http.install
ours = {"exports", "report", "segmentation_writing"}
print([name for name in sys.modules if name.startswith("wslpet.") and name.rpartition(".")[2] in ours])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
