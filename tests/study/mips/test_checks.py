"""Repeats with other seeds, the learning curve and controls, from runs that are on disk."""

import json
from dataclasses import replace

import pytest

from tests.helpers.mip_cohort import keep_frames, write_mip_cohort
from wslpet.study.mips.judging import Outcome
from wslpet.study.mips.report.report import write_mip_report
from wslpet.study.mips.report.tables import checks
from wslpet.study.mips.study import CONTROL, CURVE, REFERENCE, open_mip_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = write_mip_cohort(tmp_path_factory.mktemp("mips") / "cohort")
    out = tmp_path_factory.mktemp("study")
    keep_frames(folder, out / "cache", 20)
    names = (REFERENCE, "unet", CONTROL)
    made = open_mip_study(folder, out, "try", n_folds=2, systems=names, curve=True, repeats=3)
    made.task.store.mkdir()
    return made


def keep(study, run, dice, right=True, scores=(0.0, 1.0)):
    people = [study.cohort.people[k] for k in run.judged]
    rows = []
    for person in people:
        ill = person.cancer_type is not None
        said = (True, dice, [], right) if ill else (None, None, [], None)
        rows.append(Outcome(person.name, ill, int(ill), scores[ill], *said, None, person.cancer_type).to_json())
    study.task.file(run).write_text(json.dumps({"people": rows}))


def test_repeats_have_folds_and_files_of_their_own(study):
    assert {run.system for run in study.runs() if run.repeat} == {REFERENCE, CONTROL}  # the U-Net is not repeated
    runs = [run for run in study.runs() if run.system == REFERENCE and not run.size]
    assert [(run.repeat, run.fold) for run in runs] == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]
    assert len({study.task.file(run) for run in runs}) == 6
    assert runs[2].judged != runs[0].judged
    assert replace(runs[0], repeat=1).key == f"{runs[0].key}-repeat1"


def test_a_repeat_outside_the_first_intervals_is_named(study):
    for run in study.runs():
        if run.system == REFERENCE and not run.size:
            keep(study, run, {0: 0.5, 1: 0.5, 2: 0.9}[run.repeat])
    table = checks.repeats(study, "phantoms")
    assert [row[1] for row in table.rows] == ["0", "1", "2"]
    assert [row[-1] for row in table.rows] == ["–", "all", "all but Dice"]
    assert table.rows[2][3].startswith("0.90")


def test_a_repeat_of_some_folds_says_of_how_many_patients_it_is(study):
    runs = [run for run in study.runs() if run.system == REFERENCE and not run.size]
    for run in runs[:3]:
        keep(study, run, 0.5)
    for run in runs[3:]:
        study.task.file(run).unlink(missing_ok=True)
    table = checks.repeats(study, "phantoms")
    assert [row[1:3] for row in table.rows] == [("0", "8"), ("0", "4"), ("1", "4")]
    assert [row[-1] for row in table.rows] == ["–", "the same people", "all"]
    study.task.file(runs[2]).unlink()
    assert checks.repeats(study, "phantoms") is None


def test_threshold_atlas_ours_and_the_cam_network_are_repeated(study):
    every = replace(study, names=("cam_distance", "shipped", REFERENCE, "atlas", "threshold"), repeats=2)
    repeated = [run.system for run in every.runs() if run.repeat]
    assert repeated == [name for name in ("threshold", "atlas", REFERENCE, "cam_distance") for _ in range(2)]


def test_a_curve_is_of_the_folds_that_all_its_points_have(study):
    for run in study.runs():
        if run.system in (REFERENCE, "unet") and not run.repeat and run.size in (0, *CURVE[:2]):
            keep(study, run, 0.2 + run.size / 100)
    twenty = [run for run in study.runs() if run.system == "unet" and run.size == CURVE[1]]
    study.task.file(twenty[1]).unlink()
    table = checks.curve(study, "phantoms")
    assert study.curve_folds() == [0] and study.curve_sizes("unet") == list(CURVE[:2])
    assert [row[0] for row in table.rows] == ["10", "20", "all, about 4"]
    assert [row[1][:4] for row in table.rows] == ["0.30", "0.40", "0.20"]
    assert "4 patients of 1 of the 2 folds" in table.notes[0]
    study.task.file(twenty[0]).unlink()  # the U-Net has one point less: a dash, and both folds again
    table = checks.curve(study, "phantoms")
    assert study.curve_folds() == [0, 1]
    assert [row[3][:4] for row in table.rows] == ["0.30", "–", "0.20"]


def test_a_control_that_tells_people_and_types_is_marked(study):
    for run in study.runs():
        if run.system in (CONTROL, REFERENCE):
            keep(study, run, 0.1, right=True)
    cells = checks.shuffled(study, [CONTROL], "phantoms").rows[0]
    assert cells[1:] == (
        "6",
        "100 [86–100]",
        "1.00 [1.00–1.00]",
        "1.00–1.00",
        "**types are told**, **AUC 0.5 is outside**",
    )
    text = write_mip_report(study, ["wslpet"]).with_name("tables.md").read_text()
    assert "Labels shuffled" in text and "Other folds and random seeds" in text
    assert not (study.folder / "cases").exists()  # no mask was kept


def test_the_auc_of_a_control_is_a_mean_over_folds_that_point_either_way(study):
    runs = [run for run in study.runs() if run.system == CONTROL]
    for number, run in enumerate(runs):
        keep(study, run, 0.1, right=False, scores=[(0.2, 0.8), (0.8, 0.2)][number % 2])
    cells = checks.shuffled(study, [CONTROL], "phantoms").rows[0]
    assert cells[3].startswith("0.50 [") and cells[4] == "0.00–1.00"
    assert cells[-1] == "types at chance, AUC 0.5 is inside"
    for run in runs[1:]:
        study.task.file(run).unlink()
    cells = checks.shuffled(study, [CONTROL], "phantoms").rows[0]
    assert cells[1] == "1" and cells[-1] == "types at chance; one fold is too few for an AUC"
