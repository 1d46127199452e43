import json
import shutil
import sys

import nibabel as nib
import numpy as np
import pytest

from tests.cli.test_main import rows_of
from wslpet.cli.demo.welcome import welcome
from wslpet.core.errors import InputError
from wslpet.data.phantom import PRESETS, write_cohort


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("welcome") / "cohort"
    write_cohort(folder, 4, 11, PRESETS["plain"])
    return folder


def test_it_names_a_scan_and_its_tumour(cohort):
    text = welcome(cohort, "0.0.0.0", 8123)
    row = rows_of(cohort)[0]
    image = nib.load(cohort / f"{row['name']}.nii.gz")
    index = nib.affines.apply_affine(np.linalg.inv(image.affine), [float(row[axis]) for axis in "xyz"])
    click = json.dumps({row["cancer_type"]: [np.rint(index).astype(int).tolist()]})
    assert f"params={click}" in text
    assert "http://127.0.0.1:8123/infer/wslpet?image=patient-0000" in text
    assert "4 scans" in text


@pytest.mark.parametrize(("port", "added"), [(8000, ""), (8123, " --url http://127.0.0.1:8123")])
def test_the_welcome_of_the_demo_lists_its_steps(cohort, port, added, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv" / "bin" / "python"))
    monkeypatch.chdir(tmp_path)
    text = welcome(cohort, "127.0.0.1", port, demo=True)
    assert f" .venv/bin/wslpet demo-clicks {cohort}{added}\n" in text and f"{cohort}{added} --clicks 0\n" in text
    assert f"http://127.0.0.1:{port}/wslpet/" in text and f"http://127.0.0.1:{port}/docs" in text
    assert "demo-clicks" not in welcome(cohort, "127.0.0.1", port)


def test_the_welcome_works_for_other_scans(cohort, tmp_path):
    shutil.copy(cohort / "patient-0003.nii.gz", tmp_path / "jane.nii.gz")
    text = welcome(tmp_path, "127.0.0.1", 8000)
    assert "image=jane" in text and '{"lung": [[' in text
    with pytest.raises(InputError, match="holds no scan"):
        welcome(cohort.with_name("none-truth").parent, "127.0.0.1", 8000)
