"""`python -m wslpet study | radiomics | import`, and one click in one table."""

import csv
import shutil

import numpy as np
import pytest
from distributed import LocalCluster

from tests.data.importers.test_importers import write_autopet
from tests.helpers.study_cohort import write_study_cohort
from wslpet.analysis.radiomics import catalogue, radiomics
from wslpet.cli import main
from wslpet.core.errors import InputError
from wslpet.data.cohort_table import read_table, types_in
from wslpet.io.masks import read_mask
from wslpet.io.readers import read_volume
from wslpet.study.one_click import clicked, compared


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_study_cohort(tmp_path_factory.mktemp("cohort"), 12)


ALONE = ("--workers", 1)


def run(capsys, *arguments):
    code = main.main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_study_from_a_terminal(table, tmp_path, capsys):
    out = tmp_path / "study"
    asked = ("study", table, "--out", out, "--plan", "try", "--systems", "click-41,mtv", "--workers", 1)
    code, said, _ = run(capsys, *asked)
    assert code == 0
    assert "2 systems, 12 patients, 2 folds" in said
    assert "12 phantom (blobs) patients" in (out / "report.html").read_text()
    code, _, err = run(capsys, *asked)
    assert code == 2 and "--resume" in err.splitlines()[-1]
    kept = (out / "runs/mtv/fold-1/patients.csv").stat().st_mtime_ns
    assert run(capsys, *asked, "--resume")[0] == 0
    assert (out / "runs/mtv/fold-1/patients.csv").stat().st_mtime_ns == kept


def test_radiomics_of_a_cohort_and_of_a_folder(table, tmp_path, capsys):
    code, said, _ = run(capsys, "radiomics", table, "--out", tmp_path / "cohort.csv", *ALONE)
    assert code == 0 and f"12 lesions, {len(catalogue())} features" in said
    with open(tmp_path / "cohort.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [f"p{n}" for n in range(12)]
    first = radiomics(
        read_volume(table.parent / "p0-scan.nii.gz"), read_mask(table.parent / "p0-mask.nii.gz").array > 0
    )
    assert {name: float(rows[0][name]) for name in first} == pytest.approx(first, nan_ok=True)
    masks = tmp_path / "masks"
    masks.mkdir()
    (masks / "p0-scan-mask.nii.gz").write_bytes((table.parent / "p0-mask.nii.gz").read_bytes())
    (masks / "p1-scan-mask.nii.gz").write_text("no NIfTI")
    code, said, err = run(capsys, "radiomics", table.parent, "--masks", masks, "--out", tmp_path / "folder.csv", *ALONE)
    assert code == 2 and "1 lesions" in said and "p1-scan: image p1-scan-mask.nii.gz cannot be read" in err
    one = table.parent / "p0-scan.nii.gz"
    code, said, _ = run(capsys, "radiomics", one, "--masks", masks / "p0-scan-mask.nii.gz", "--out", tmp_path / "1.csv")
    assert code == 0 and "1 lesions" in said
    code, _, err = run(capsys, "radiomics", table.parent, "--masks", tmp_path / "nowhere")
    assert code == 2 and "no scan has a mask" in err


def test_processes_and_dask_measure_the_same_in_the_same_order(table, tmp_path, capsys):
    masks = tmp_path / "masks"
    masks.mkdir()
    for n in (7, 2, 5, 0):
        shutil.copy(table.parent / f"p{n}-mask.nii.gz", masks / f"p{n}-scan-mask.nii.gz")
    (masks / "p3-scan-mask.nii.gz").write_text("no NIfTI")
    with LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster:
        ways = {"one": ALONE, "three": ("--workers", 3), "dask": ("--scheduler", cluster.scheduler_address)}
        for name, way in ways.items():
            asked = ("radiomics", table.parent, "--masks", masks, "--out", tmp_path / name, *way)
            code, said, err = run(capsys, *asked)
            assert code == 2 and "4 lesions" in said
            assert err.count("p3-scan: image p3-scan-mask.nii.gz cannot be read") == 1
    assert len({(tmp_path / name).read_bytes() for name in ways}) == 1
    with open(tmp_path / "one", newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["p0-scan", "p2-scan", "p5-scan", "p7-scan"]


def test_radiomics_refuses_workers_and_schedulers_that_are_none(table, tmp_path, capsys):
    asked = ("radiomics", table, "--out", tmp_path / "x.csv")
    assert run(capsys, *asked, "--workers", 0)[::2] == (2, "--workers 0 is not a number of processes; give 1 or more\n")
    code, _, err = run(capsys, *asked, "--scheduler", "nowhere:x")
    assert code == 2 and "scheduler nowhere:x does not answer" in err
    assert not list(tmp_path.iterdir())


def test_an_import_becomes_a_cohort(tmp_path, capsys):
    root = write_autopet(tmp_path)
    code, said, err = run(capsys, "import", "autopet", root, "--out", tmp_path / "made" / "cohort.csv")
    assert code in (0, 2) and "patients" in said, err
    rows, problems = read_table(tmp_path / "made" / "cohort.csv", types_in(tmp_path / "made" / "cohort.csv"))
    assert rows and not [p for p in problems if "no tumour" not in p]
    code, _, err = run(capsys, "import", "petmr", root, "--out", tmp_path / "c.csv")
    assert code == 2 and "not one of autopet, hecktor, datastore, dicom" in err


def test_one_click_figures_are_in_one_table(table, tmp_path):
    made = compared(list(clicked(table.parent)), "phantom blobs")
    assert [row[0] for row in made.rows] == ["ours, a click", "click + 41 %", "click + SUV ≥ 4.0", "click + SUV ≥ 2.5"]
    assert all(float(row[1].split()[0]) > 0.7 for row in made.rows)
    assert "12 lesions: phantom blobs" in made.title


def test_a_folder_of_pairs_is_clicked_inside_its_masks(table, tmp_path):
    for number in range(3):
        folder = tmp_path / f"STS_{number}"
        folder.mkdir()
        for kind, name in (("scan", "PET_image"), ("mask", "PET_mask")):
            (folder / f"{name}.nii.gz").write_bytes((table.parent / f"p{number}-{kind}.nii.gz").read_bytes())
    cases = list(clicked(tmp_path, jitter_mm=30.0))
    assert [case.name for case in cases] == ["STS_0", "STS_1", "STS_2"]
    for case in cases:
        assert case.truth[tuple(np.rint(case.volume.to_index(case.position)).astype(int))]
    with pytest.raises(InputError, match=r"no folder in it an \*image\*"):
        list(clicked(tmp_path / "STS_0"))
