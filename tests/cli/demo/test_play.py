"""`make demo-clicks` and `make demo-score`: clicks from the truth, a training, and figures, on a real server."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.helpers.app_server import Server
from tests.helpers.synthetic import ORIENTATIONS, Scan, write_scan
from wslpet.cli.demo.command import PATIENTS
from wslpet.cli.demo.play import CLICKED_BY, Demo, DemoError, play
from wslpet.cli.main import main
from wslpet.core.settings import Settings
from wslpet.method.training.judging import FEWEST
from wslpet.method.training.parts import place

CLICKS, OTHERS = 8, 4


def write_truth(scans: list[Scan], folder: Path) -> None:
    folder.mkdir()
    with open(folder / "cohort.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["name", "scan", "cancer_type", "x", "y", "z", "mask"])
        for scan in scans:
            nib.save(nib.Nifti1Image(scan.truth().astype(np.uint8), scan.affine), folder / f"{scan.name}.nii.gz")
            row = [scan.name, f"../{scan.path.parent.name}/{scan.path.name}", scan.cancer_type]
            table.writerow([*row, *scan.centre.round(3), f"{scan.name}.nii.gz"])


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[tuple[Server, list[Scan]]]:
    folder = tmp_path_factory.mktemp("demo")
    (folder / "studies").mkdir()
    ways = list(ORIENTATIONS)
    scans = [
        write_scan(
            folder / "studies",
            f"patient-{number}",
            ways[number // 2 % len(ways)],
            ("lung", "oesophagus")[number % 2],
            (3 * number - 18, 0, 6 * number - 36),
        )
        for number in range(CLICKS + OTHERS)
    ]
    write_truth(scans, folder / "studies-truth")
    server = Server(folder / "studies", tmp_path_factory.mktemp("scratch"), {"use_pretrained_model": "true"}).start()
    yield server, scans
    server.stop()


@pytest.fixture(scope="module")
def played(served) -> list[str]:
    said: list[str] = []
    play(Demo(served[0].studies, served[0].url), CLICKS, said.append)
    return said


def test_clicks_are_on_the_true_lesions_equally_many_of_each_type(served, played):
    server, scans = served
    seeds = {scan.name: server.seeds(scan.name) for scan in scans}
    clicked = [scan for scan in scans if seeds[scan.name]]
    assert len(clicked) == CLICKS
    assert sum(scan.cancer_type == "lung" for scan in clicked) == CLICKS // 2
    for scan in clicked:
        (seed,) = seeds[scan.name]
        assert seed["cancer_type"] == scan.cancer_type
        assert seed["index"] == scan.click
        assert CLICKED_BY in seed.values()


def test_figures_are_of_unclicked_patients_for_both_weights(played):
    assert sum("a click on the" in line for line in played) == CLICKS
    assert any(line.startswith("the new model") or "in use" in line for line in played)
    assert f"{OTHERS} patients that nobody clicked" in played[-3]
    assert played[-2].startswith("  shipped weights  tumour found ")
    assert played[-1].startswith("  model in use     tumour found ")


def test_too_few_of_the_demos_patients_judge_to_tell_so_the_demo_decides(played):
    """Whichever patients are clicked: README, index and the terminal say that a person has to decide."""
    names = [f"patient-{number:04d}" for number in range(PATIENTS)]
    assert sum(place(name) < Settings().validation for name in names) < FEWEST
    assert any("is not known to be better than the one in use: 2 patients judge" in line for line in played)
    assert any("the demo decides for the new model" in line for line in played)


def test_a_second_time_clicks_nobody_again(served, played):
    demo = Demo(served[0].studies, served[0].url)
    before = demo.clicked()
    demo.click(CLICKS, lambda line: pytest.fail(line))
    assert demo.clicked() == before


def test_evaluation_alone_changes_nothing_and_scores_a_perfect_mask_as_perfect(served, played, capsys):
    server, scans = served
    version = server.infer("wslpet", scans[-1].name, output="json").json()["model_version"]
    assert main(["demo-clicks", str(server.studies), "--url", server.url, "--clicks", "0"]) == 0
    assert "nobody clicked" in capsys.readouterr().out
    assert server.infer("wslpet", scans[-1].name, output="json").json()["model_version"] == version
    demo = Demo(server.studies, server.url)
    judged = demo._judged(scans[0].name, scans[0].truth(), scans[0].cancer_type)
    assert judged == (True, True, 1.0)
    assert demo._judged(scans[0].name, ~scans[0].truth(), "other")[:2] == (False, False)


def test_a_missing_truth_or_server_is_an_error_with_the_reason(served, played, tmp_path, capsys):
    server, scans = served
    assert main(["demo-clicks", str(server.studies), "--url", "http://127.0.0.1:9"]) == 2
    assert "no server answers at http://127.0.0.1:9" in capsys.readouterr().err
    assert main(["demo-clicks", str(tmp_path)]) == 2
    assert "cohort.csv" in capsys.readouterr().err
    clicked = Demo(server.studies, server.url).clicked()
    write_truth([scan for scan in scans if scan.name in clicked], tmp_path / "clicked-truth")
    (tmp_path / "clicked").mkdir()
    with pytest.raises(DemoError, match="none is left to judge by"):
        play(Demo(tmp_path / "clicked", server.url), 0, print)
