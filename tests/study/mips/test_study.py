"""The study on MIPs from a terminal: folds, resuming, every system, the control, the report."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.mip_cohort import PLACES, keep_frames, write_mip_cohort
from wslpet.cli import main
from wslpet.core.errors import InputError, TrainingError
from wslpet.data.mip_cohort import read_mip_cohort
from wslpet.study.mips.cohort import load, truth_of
from wslpet.study.mips.judging import Prediction
from wslpet.study.mips.results import auc_of, learned_types
from wslpet.study.mips.runs import execute
from wslpet.study.mips.study import CONTROL, open_mip_study
from wslpet.study.mips.systems.case import Case, Effort
from wslpet.study.mips.systems.registry import SYSTEMS, predictions, system_of

PEOPLE = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_mip_cohort(tmp_path_factory.mktemp("mips") / "cohort")


@pytest.fixture
def out(folder, tmp_path):
    keep_frames(folder, tmp_path / "study/cache", PEOPLE)
    return tmp_path / "study"


def run(capsys, *arguments):
    code = main.main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_study_from_a_terminal_goes_on_where_it_stopped(folder, out, capsys):
    asked = ("study", folder, "--out", out, "--plan", "try", "--folds", 2, "--workers", 1)
    code, said, _ = run(capsys, *asked, "--systems", "threshold,click_41")
    assert code == 0 and "2 systems, 20 people, 2 folds" in said
    page = (out / "report.html").read_text()
    assert "coronal MIPs of 8 patients (4 lung, 4 lymphoma) and 12 lesion-free people" in page
    assert page.count("<img") == (out / "tables.md").read_text().count("![") == 2
    kept = {path: path.stat().st_mtime_ns for path in (out / "runs").iterdir()}
    assert len(kept) == 4
    code, _, err = run(capsys, *asked)
    assert code == 2 and "--resume" in err.splitlines()[-1]
    code, said, _ = run(capsys, *asked, "--systems", "threshold,click_41,shipped", "--resume")
    assert code == 0 and "3 systems" in said
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert run(capsys, *asked, "--seed", 1, "--resume")[0] == 2


def test_a_report_of_the_folds_that_are_done_says_of_how_many_patients(folder, out, capsys):
    asked = ("study", folder, "--out", out, "--plan", "try", "--folds", 2, "--workers", 1)
    assert run(capsys, *asked, "--systems", "threshold,click_41")[0] == 0
    next((out / "runs").glob("threshold-all-1-*")).unlink()
    assert run(capsys, *asked, "--systems", "threshold,click_41", "--resume", "--report-only")[0] == 0
    rows = [line for line in (out / "tables.md").read_text().splitlines() if line.startswith("| one threshold")]
    assert "(4 patients)" in rows[0]


def test_a_clicked_disc_is_outlined_and_nobody_is_in_two_folds(folder, out):
    study = open_mip_study(folder, out, "try", n_folds=2, systems=("click_41",))
    (a, b), (c, d) = study.cohort.parts(2)
    assert sorted(b + d) == list(range(PEOPLE)) and set(a) == set(d) and set(c) == set(b)
    execute(study.runs(), study.task)
    found = [one for one in study.outcomes("click_41") if one.ill]
    assert len(found) == 8 and np.mean([one.dice for one in found]) > 0.9
    assert all(one.detected_strictly for one in found)


@pytest.mark.slow
def test_every_system_learns_predicts_and_is_reported(folder, out, capsys):
    asked = ("study", folder, "--out", out, "--plan", "try", "--folds", 2, "--workers", 1)
    code, said, err = run(capsys, *asked)
    assert code == 0, err
    assert f"{len(SYSTEMS) + 1} systems" in said
    tables = (out / "tables.md").read_text()
    for system in SYSTEMS.values():
        assert system.title in tables
    assert "Labels shuffled" in tables
    assert len(list((out / "runs").iterdir())) == 2 * (len(SYSTEMS) + 1)


def test_shuffled_labels_keep_their_number_and_the_place_of_the_click(folder, out):
    cohort = load(folder, out / "cache")
    mixed = cohort.shuffled(seed=3)
    assert sorted(str(p.cancer_type) for p in mixed.people) == sorted(str(p.cancer_type) for p in cohort.people)
    assert [p.cancer_type for p in mixed.people] != [p.cancer_type for p in cohort.people]
    assert all((p.click is None) == (p.cancer_type is None) for p in mixed.people)
    for person in mixed.people:
        if person.cancer_type is not None:
            assert np.abs(np.subtract(person.click, PLACES[person.cancer_type])).max() <= 13
    assert [p.image for p in mixed.people] == [p.image for p in cohort.people]


def test_a_control_learns_shuffled_labels_and_is_judged_by_them(folder, out, monkeypatch):
    given = []

    def told(case):
        """Say what the labels are that a case knows of those to be judged."""
        given.append(case)
        people = [case.test.people[k] for k in case.numbers]
        return [
            Prediction(truth_of(p).astype(float), truth_of(p), p.cancer_type is not None, p.cancer_type) for p in people
        ]

    monkeypatch.setitem(SYSTEMS, "one_click", replace(SYSTEMS["one_click"], predict=told))
    study = open_mip_study(folder, out, "try", seed=3, n_folds=2, systems=("one_click", CONTROL))
    study = replace(study, task=replace(study.task, effort=replace(study.task.effort, control_steps=3)))
    execute(study.runs(), study.task)
    mixed = {p.name: p.cancer_type for p in study.cohort.shuffled(seed=3).people}
    for name, labels in (("one_click", {p.name: p.cancer_type for p in study.cohort.people}), (CONTROL, mixed)):
        found = study.outcomes(name)
        assert {one.name: one.cancer_type for one in found} == labels
        assert auc_of(found).value == 1 and all(one.type_right for one in found if one.ill)
    assert [case.system for case in given] == ["one_click"] * 2 + ["one_click-shipped"] * 2
    assert [case.effort.steps for case in given] == [4, 4, 3, 3]
    assert all(one.dice is None for one in study.outcomes(CONTROL))


def test_a_control_with_nothing_to_learn_from_finds_nothing(folder, out, monkeypatch):
    def nothing(case):
        raise TrainingError("no lesion to learn from")

    monkeypatch.setitem(SYSTEMS, "one_click", replace(SYSTEMS["one_click"], predict=nothing))
    cohort, lines = load(folder, out / "cache"), []
    found = predictions(Case(CONTROL, cohort, range(PEOPLE), cohort, [0, 1], Effort(), lines.append))
    assert lines == [f"{CONTROL}: no lesion to learn from"]
    assert [one.score for one in found] == [0, 0] and all(one.mask is None for one in found)
    with pytest.raises(TrainingError):
        predictions(Case("one_click", cohort, range(PEOPLE), cohort, [0, 1], Effort()))


def test_a_cohort_without_masks_or_of_one_type_is_refused(folder, tmp_path):
    write_mip_cohort(tmp_path / "other")
    next((tmp_path / "other/masks").glob("lung*")).unlink()
    with pytest.raises(InputError, match="have no mask"):
        load(tmp_path / "other", tmp_path / "cache")
    table = tmp_path / "other/cohort.csv"
    table.write_text("\n".join(line for line in table.read_text().splitlines() if "lung" not in line))
    with pytest.raises(InputError, match=r"\['lymphoma'\]"):
        load(tmp_path / "other", tmp_path / "cache")


@pytest.mark.parametrize("name", ["nothing", "one_click-nothing", "atlas-guard", "cams+mixed"])
def test_an_unknown_system_is_refused(name):
    with pytest.raises(InputError, match="does not exist"):
        system_of(name)


def test_the_control_is_of_a_system_and_says_so():
    assert system_of(CONTROL).title.endswith("shuffled labels")
    for name in ("one_click-guard", "every_lesion-guard"):
        assert system_of(name).title.endswith("without guard")


def test_options_of_mips_are_refused_for_scans(tmp_path, capsys):
    (tmp_path / "cohort.csv").write_text("name,scan\n")
    code, _, err = run(capsys, "study", tmp_path, "--out", tmp_path / "out", "--report-only")
    assert code == 2 and "no cohort of MIPs" in err


def test_people_and_types_of_the_cohort_are_those_of_the_reader(folder, out):
    cohort = load(folder, out / "cache")
    assert [p.name for p in cohort.people] == [p.name for p in read_mip_cohort(folder)]
    assert cohort.types == ("lung", "lymphoma") and cohort.ill.sum() == 8
    assert json.loads((out / f"cache/frames-cohort-{PEOPLE}.json").read_text())[0]["scale"] == [1.0, 1.0]
    assert not learned_types([])


def test_systems_that_share_a_network_are_run_fold_by_fold(folder, out):
    study = open_mip_study(folder, out, "try", n_folds=2, systems=("cams_fcn", "cams", "click_41", "one_click-guard"))
    assert [(run.system, run.fold) for run in study.runs()] == [
        ("click_41", 0),
        ("click_41", 1),
        ("cams", 0),
        ("cams_fcn", 0),
        ("cams", 1),
        ("cams_fcn", 1),
        ("one_click-guard", 0),
        ("one_click-guard", 1),
    ]


def test_specks_are_part_of_what_a_study_is_of(folder, out):
    study = open_mip_study(folder, out, "try", n_folds=2, systems=("click_41",), smallest_mm2=0.0)
    assert study.task.smallest_mm2 == 0.0
    with pytest.raises(InputError, match="another cohort or plan"):
        open_mip_study(folder, out, "try", n_folds=2, systems=("click_41",), resume=True)
