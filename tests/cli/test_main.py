from __future__ import annotations

import csv
import gzip
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from distributed import LocalCluster

import wslpet.data.phantom
from wslpet.cli import main
from wslpet.cli.commands.segment import scans_below
from wslpet.core.settings import settings_from
from wslpet.data.phantom import CohortSettings, Scanner, write_cohort
from wslpet.data.phantom.dicom import write_series
from wslpet.io.readers import read_volume
from wslpet.method.network.checkpoint import Model, load_model, new_network, save_model

ROOT = Path(__file__).resolve().parents[2]
COARSE = CohortSettings(scanners=((Scanner("coarse", (8.0, 8.0, 6.0)), 1.0),), fields=(("thorax", 1.0),))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cohort") / "studies"
    write_cohort(folder, 6, 1, COARSE)
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    settings = settings_from(widths=(8,) * 8)
    path = tmp_path_factory.mktemp("weights") / "tiny.pt"
    save_model(Model(new_network(settings).eval(), settings), path)
    return path


def rows_of(folder: Path) -> list[dict[str, str]]:
    with open(folder.with_name(f"{folder.name}-truth") / "cohort.csv") as file:
        return list(csv.DictReader(file))


def run(capsys, *arguments) -> tuple[int, str, str]:
    code = main.main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def refused(capsys, *arguments) -> str:
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert "Traceback" not in err
    return err.strip().splitlines()[-1]


def test_the_terminal_answers_before_torch_is_loaded():
    heavy = "{'torch', 'numpy', 'matplotlib'}"
    code = f"import sys, wslpet.cli.main as m; m._parser(); sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0


def test_every_command_prints_its_help(capsys):
    with pytest.raises(SystemExit):
        main.main(["--help"])
    commands = re.findall(r"^    ([a-z-]+)", capsys.readouterr().out, re.MULTILINE)
    assert {"segment", "train", "serve", "demo", "study"} <= set(commands)
    for name in commands:
        with pytest.raises(SystemExit) as ended:
            main.main([name, "--help"])
        assert ended.value.code == 0 and f"wslpet {name}" in capsys.readouterr().out


def test_refusals_are_one_line_and_exit_code_2():
    command = [sys.executable, "-m", "wslpet", "segment", "gone.nii.gz", "--seed", "1", "2", "-3", "--type", "lung"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.strip() == "gone.nii.gz does not exist; name scans or folders of scans"


def test_phantom_writes_a_cohort(capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(wslpet.data.phantom.PRESETS, "coarse", COARSE)
    code, out, _ = run(
        capsys, "phantom", tmp_path / "studies", "--patients", 3, "--preset", "coarse", "--seed", 4,
        "--orientation", "LPS", "--workers", 1,
    )  # fmt: skip
    assert code == 0 and "3 coarse patients" in out
    assert len(list((tmp_path / "studies").glob("*.nii.gz"))) == 3
    assert {row["orientation"] for row in rows_of(tmp_path / "studies")} == {"LPS"}


def test_phantom_refuses_unknown_presets(capsys, tmp_path):
    assert "'harder' does not exist" in refused(capsys, "phantom", tmp_path / "s", "--preset", "harder")
    assert "--patients 0" in refused(capsys, "phantom", tmp_path / "s", "--patients", 0)


def test_train_learns_from_a_cohort_and_goes_on_from_a_model(capsys, cohort, weights, tmp_path):
    first = tmp_path / "first.pt"
    code, out, err = run(capsys, "train", cohort, "--out", first, "--epochs", 1, "--distance-weight", 0.5)
    assert code == 0 and "seed hit" in out and "type accuracy" in out
    assert "loss" in err
    model = load_model(first)
    assert (model.settings.epochs, model.settings.distance_weight) == (1, 0.5)
    assert sum(model.history["patients"].values()) == 6
    table = cohort.with_name("studies-truth") / "cohort.csv"
    second = tmp_path / "second.pt"
    code, out, _ = run(capsys, "train", table, "--out", second, "--from", weights, "--epochs", 1, "--limit", 5)
    assert code == 0
    assert load_model(second).settings.widths == (8,) * 8
    assert sum(load_model(second).history["patients"].values()) == 5


def test_train_reports_all_bad_rows_at_once(capsys, cohort, tmp_path):
    rows = rows_of(cohort)
    for row in rows:
        row["scan"] = str(cohort / Path(row["scan"]).name)
    (tmp_path / "ct.nii.gz").write_bytes(b"no scan")
    rows[0]["scan"] = "gone.nii.gz"
    rows[1]["cancer_type"] = "breast"
    rows[2]["x"] = "left"
    rows[3]["z"] = "9999"
    rows[4]["scan"] = "ct.nii.gz"
    table = tmp_path / "mine.csv"
    with open(table, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    code, _, err = run(capsys, "train", table, "--out", tmp_path / "m.pt")
    said = err[err.index(str(table)) :]
    assert code == 2 and "5 rows cannot be used" in said
    for number, remedy in [
        (2, "gone.nii.gz does not exist; correct the path"),
        (3, "cancer type 'breast' is not one of lung, oesophagus; correct"),
        (4, "is not three numbers; write x,y,z in mm RAS"),
        (5, "lies outside the scan; click inside it"),
        (6, "ct.nii.gz cannot be read"),
    ]:
        assert any(f"row {number}:" in line and remedy in line for line in said.splitlines()), (number, said)
    assert not (tmp_path / "m.pt").exists()


def test_training_on_mips_refuses_options_of_the_other_training(capsys, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "cohort.csv").write_text("image,cancer_type,click_x,click_y\na,lung,1,1\n")
    out = ("--out", tmp_path / "m.pt")
    assert "--epochs, --no-tumour: the training on MIPs" in refused(
        capsys, "train", tmp_path, "--epochs", 1, "--no-tumour", *out
    )
    assert "there is no images/a" in refused(capsys, "train", tmp_path, *out)


def test_train_refuses_invalid_options(capsys, cohort, weights, tmp_path):
    out = ("--out", tmp_path / "m.pt")
    assert "no" in refused(capsys, "train", tmp_path / "nothing", *out)
    (tmp_path / "short.csv").write_text("name,scan,x\na,b,1\n")
    assert "lacks the columns cancer_type, y, z" in refused(capsys, "train", tmp_path / "short.csv", *out)
    (tmp_path / "empty.csv").write_text("name,scan,cancer_type,x,y,z\n")
    assert "has no rows" in refused(capsys, "train", tmp_path / "empty.csv", *out)
    assert "--preset, --types" in refused(capsys, "train", cohort, "--from", weights, "--preset", "paper", *out)
    assert "distance='emd'" in refused(capsys, "train", cohort, "--distance", "emd", *out)
    assert "is a folder" in refused(capsys, "train", cohort, "--out", tmp_path)
    assert "File exists" in refused(capsys, "train", cohort, "--out", tmp_path / "short.csv" / "m.pt")
    assert "training needs 2" in refused(capsys, "train", cohort, "--limit", 1, *out)


def test_segment_writes_mask_figures_and_picture(capsys, cohort, weights, tmp_path):
    code, out, _ = run(capsys, "segment", cohort, "--model", weights, "--out", tmp_path, "--workers", 1)
    assert code == 0 and len(out.splitlines()) == 6
    for scan in cohort.glob("*.nii.gz"):
        name = scan.name.removesuffix(".nii.gz")
        mask = nib.load(tmp_path / f"{name}-mask.nii.gz")
        assert mask.shape == nib.load(scan).shape
        assert np.allclose(mask.affine, nib.load(scan).affine, atol=1e-4)
        answer = json.loads((tmp_path / f"{name}.json").read_text())
        assert answer["name"] == name and answer["model_version"] == load_model(weights).version
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_labels_of_a_server_are_no_scans(tmp_path):
    names = "p", "labels/final/p", "deep/labels/q", "served/r", "served/labels/final/r"
    for name in (f"{name}.nii.gz" for name in names):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "datastore_v2.json").touch()
    (tmp_path / "served" / ".wslpet").mkdir()
    assert set(scans_below(tmp_path)) == {"p", "deep/labels/q", "served/r"}
    (tmp_path / "datastore_v2.json").unlink()
    assert set(scans_below(tmp_path)) == {"p", "labels/final/p", "deep/labels/q", "served/r"}


@pytest.mark.slow
def test_segment_resumes(capsys, cohort, weights, tmp_path):
    arguments = ("segment", cohort, "--model", weights, "--out", tmp_path, "--workers", 1)
    run(capsys, *arguments)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    table = (tmp_path / "segment.csv").read_text(encoding="utf-8")
    again = sorted(tmp_path.glob("*.json"))[0]
    again.unlink()
    code, out, _ = run(capsys, *arguments, "--resume")
    assert code == 0 and out.count(": done before → ") == len(list(tmp_path.glob("*.json"))) - 1
    done = {path for path, time in written.items() if path.stat().st_mtime_ns != time}
    assert {path.name.split("-mask")[0].split(".")[0] for path in done} == {again.stem, "segment"}
    assert (tmp_path / "segment.csv").read_text(encoding="utf-8") == table


def test_segment_takes_files_series_and_folders_of_a_folder(capsys, cohort, weights, tmp_path):
    volume = read_volume(cohort / "patient-0000.nii.gz")
    folder = tmp_path / "mixed"
    for name in ("a.nii.gz", "sub/b.NII.GZ", "x/c.nii.gz", "y/c.nii.gz", "x/old-mask.nii.gz"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(cohort / "patient-0000.nii.gz", folder / name)
    write_series(volume, folder / "series", "p")
    write_series(volume, folder / "deep" / "series", "q")
    (folder / "sub" / "blob.nii.gz").symlink_to((folder / "a.nii.gz").rename(tmp_path / "3f2a9c"))
    (folder / "circle").symlink_to(folder)
    code, out, err = run(capsys, "segment", folder, "--model", weights, "--out", tmp_path / "out", "--workers", 1)
    names = ["deep/series", "series", "sub/b", "sub/blob", "x/c", "y/c"]
    masks = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*-mask.nii.gz"))
    assert code == 0
    assert masks == [f"{name}-mask.nii.gz" for name in names]
    assert sorted(line.split(":")[0] for line in out.splitlines()) == names
    assert "circle: a link to the folder itself, which is listed already" in err


def test_segment_takes_a_click(capsys, cohort, weights, tmp_path):
    row = rows_of(cohort)[0]
    scan = cohort / f"{row['name']}.nii.gz"
    code, out, _ = run(
        capsys, "segment", scan, "--model", weights, "--out", tmp_path,
        "--seed", row["x"], row["y"], row["z"], "--type", row["cancer_type"],
    )  # fmt: skip
    assert code == 0 and row["cancer_type"] in out
    found = nib.load(tmp_path / f"{row['name']}-mask.nii.gz").get_fdata() > 0
    truth = nib.load(cohort.with_name("studies-truth") / row["mask"]).get_fdata() > 0
    assert (found & truth).any()
    seed = json.loads((tmp_path / f"{row['name']}.json").read_text())["seed"]
    assert seed["position"] == pytest.approx([float(row[axis]) for axis in "xyz"])


@pytest.mark.slow
def test_segment_goes_on_after_a_bad_scan(capsys, cohort, weights, tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    (folder / "bad.nii.gz").write_bytes(b"no scan")
    shutil.copy(cohort / "patient-0001.nii.gz", folder)
    (folder / "old-mask.nii.gz").write_bytes(b"a result of before, no scan")
    code, out, err = run(capsys, "segment", folder, "--model", weights, "--out", tmp_path)
    assert code == 2
    assert "bad.nii.gz cannot be read" in err and "old-mask" not in err
    assert "patient-0001" in out and (tmp_path / "patient-0001.png").exists()
    bad, good = csv.DictReader((tmp_path / "segment.csv").open(encoding="utf-8"))
    assert bad["name"] == "bad" and "bad.nii.gz cannot be read" in bad["error"] and not bad["mtv_ml"]
    answer = json.loads((tmp_path / "patient-0001.json").read_text())
    assert good["error"] == "" and float(good["mtv_ml"]) == answer["mtv_ml"] and int(good["lesions"]) >= 1


@pytest.mark.slow
def test_processes_and_dask_find_the_same(capsys, cohort, weights, tmp_path):
    scans = [cohort / f"patient-000{n}.nii.gz" for n in range(3)]
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
        ways = {"one": ["--workers", 1], "two": ["--workers", 2], "dask": ["--scheduler", cluster.scheduler_address]}
        for name, way in ways.items():
            arguments = ("segment", *scans, "--model", weights, "--out", tmp_path / name, *way)
            code, out, _ = run(capsys, *arguments)
            assert code == 0
            assert [line.split(":")[0] for line in out.splitlines()] == [f"patient-000{n}" for n in range(3)]
    for file in sorted(path.name for path in (tmp_path / "one").glob("*-mask.nii.gz")):
        # What is in the files: isal does not always compress the same data to the same bytes.
        masks = {gzip.decompress((tmp_path / name / file).read_bytes()) for name in ways}
        assert len(masks) == 1


def test_dask_reports_a_bad_scan_and_a_missing_scheduler(capsys, cohort, weights, tmp_path):
    (tmp_path / "bad.nii.gz").write_bytes(b"no scan")
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
        arguments = (
            "segment",
            tmp_path,
            "--model",
            weights,
            "--out",
            tmp_path,
            "--scheduler",
            cluster.scheduler_address,
        )
        assert "bad.nii.gz cannot be read" in refused(capsys, *arguments)
    arguments = ("segment", tmp_path, "--model", weights, "--out", tmp_path, "--scheduler", "nowhere:x")
    assert "scheduler nowhere:x does not answer" in refused(capsys, *arguments)


def test_segment_refuses_invalid_options(capsys, cohort, weights, tmp_path):
    scan = cohort / "patient-0000.nii.gz"
    assert "give both" in refused(capsys, "segment", scan, "--seed", 1, 2, 3)
    click = ("--seed", 1, 2, 3, "--type", "lung")
    assert "6 scans were given; give one" in refused(capsys, "segment", cohort, *click)
    assert "does not exist" in refused(capsys, "segment", scan, "--model", tmp_path / "gone.pt")
    assert "holds no scan" in refused(capsys, "segment", tmp_path)
    assert "--workers 0" in refused(capsys, "segment", scan, "--workers", 0)
    shutil.copy(scan, tmp_path / "patient-0000.nii.gz")
    assert "have one name" in refused(capsys, "segment", scan, tmp_path / "patient-0000.nii.gz")
    (tmp_path / "file").touch()
    assert "Not a directory" in refused(capsys, "segment", scan, "--model", weights, "--out", tmp_path / "file" / "d")


def test_model_describes_a_model(capsys, weights):
    code, out, _ = run(capsys, "model", weights)
    assert code == 0 and json.loads(out)["version"] == load_model(weights).version
