import json
from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.study_cohort import write_study_cohort
from wslpet.core.errors import InputError
from wslpet.io.masks import read_mask
from wslpet.io.readers import read_volume
from wslpet.study.design import study as studying
from wslpet.study.design.plan import PLANS
from wslpet.study.design.study import open_study
from wslpet.study.execution.runs import Run, execute, features_in, is_kept, mask_in, measured_in
from wslpet.study.execution.schedule import make_study
from wslpet.study.systems import SYSTEMS
from wslpet.study.systems.clicks import MTV
from wslpet.study.systems.system import FittedSystem, Prediction, System


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return write_study_cohort(tmp_path_factory.mktemp("cohort"))


def tell_the_truth(patients, plan, report):
    report(1.0, f"saw {len(patients)}")
    return FittedSystem(lambda patient, volume: Prediction(patient.truth(volume), patient.cancer_type))


SIXTH = System("sixth", "a sixth", "", "", "", tell_the_truth, features=("volume_ml",))


@pytest.fixture(autouse=True)
def sixth(monkeypatch):
    monkeypatch.setitem(SYSTEMS, "sixth", SIXTH)


def opened(cohort, folder, systems=("sixth",), **options):
    return open_study(cohort, folder, "try", systems=systems, **options)


def test_a_sixth_system_is_one_file_and_a_line(cohort, tmp_path):
    study = opened(cohort, tmp_path)
    make_study(study)
    rows = [one for fold in range(2) for one in measured_in(Run("sixth", fold), tmp_path)]
    assert sorted(one.name for one in rows) == [f"p{n}" for n in range(8)]
    assert all(
        one.dice == 1.0 and one.hd95_mm == 0.0 and one.localisation_rate and one.predicted == one.cancer_type
        for one in rows
    )
    assert (tmp_path / "runs/sixth/fold-1/log.txt").read_text().count("p") >= 4
    assert "2 runs to make, 0 kept" in (tmp_path / "study.log").read_text()


def test_masks_and_features_are_kept_as_they_were_found(cohort, tmp_path):
    study = opened(cohort, tmp_path)
    make_study(study)
    for fold in range(2):
        run = Run("sixth", fold)
        features = features_in(run, tmp_path)
        for patient in study.test_patients(run):
            volume, truth = read_volume(patient.row.scan), read_mask(patient.row.mask).array > 0
            np.testing.assert_array_equal(mask_in(run, tmp_path, patient, volume), truth)
            assert features[patient.name]["volume_ml"] == pytest.approx(truth.sum() * volume.voxel_ml, rel=1e-6)


def test_what_is_found_nowhere_is_kept_too(cohort, tmp_path):
    study = opened(cohort, tmp_path)
    nothing = replace(
        SIXTH, learn=lambda *_: FittedSystem(lambda patient, volume: Prediction(np.zeros(volume.shape, bool)))
    )
    run = Run("sixth", 0)
    execute(run, nothing, study.train_patients(run), study.test_patients(run), study.plan, tmp_path, lambda *_: None)
    patient = study.test_patients(run)[0]
    assert not mask_in(run, tmp_path, patient, patient.volume()).any()
    first = measured_in(run, tmp_path)[0]
    assert first.dice == 0 and np.isinf(first.hd95_mm) and not first.detected and not first.localisation_rate
    assert np.isnan(features_in(run, tmp_path)[patient.name]["volume_ml"])


def test_an_interrupted_study_goes_on_where_it_stopped(cohort, tmp_path, monkeypatch):
    calls = []

    def interrupted(patients, plan, report):
        calls.append(len(patients))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return tell_the_truth(patients, plan, report)

    monkeypatch.setitem(SYSTEMS, "sixth", replace(SIXTH, learn=interrupted))
    with pytest.raises(KeyboardInterrupt):
        make_study(opened(cohort, tmp_path))
    assert is_kept(Run("sixth", 0), tmp_path)
    assert not is_kept(Run("sixth", 1), tmp_path)
    make_study(opened(cohort, tmp_path, resume=True))
    assert len(calls) == 3
    assert is_kept(Run("sixth", 1), tmp_path)
    assert not list(tmp_path.glob("runs/*/.*.part"))


def test_a_run_that_fails_is_named_and_the_others_are_made(cohort, tmp_path, monkeypatch):
    def broken(patients, plan, report):
        raise ZeroDivisionError("by nothing")

    monkeypatch.setitem(SYSTEMS, "broken", replace(SIXTH, name="broken", learn=broken, cost=9.0))
    study = opened(cohort, tmp_path, ("sixth", "broken"))
    with pytest.raises(InputError, match=r"2 runs failed.*--resume") as raised:
        make_study(study)
    assert "ZeroDivisionError: by nothing" in str(raised.value)
    assert "Traceback" in (tmp_path / "runs/broken/fold-1.log").read_text()
    assert is_kept(Run("sixth", 1), tmp_path)


def test_several_workers_make_the_same(cohort, tmp_path):
    told = []
    study = opened(cohort, tmp_path, ("click-41", "mtv"))
    make_study(study, 2, lambda done, total, now: told.append(done / total))
    assert told[-1] == pytest.approx(1.0)
    for fold in range(2):
        one, other = (measured_in(Run(name, fold), tmp_path) for name in ("click-41", "mtv"))
        assert (
            [m.name for m in one] == [m.name for m in other] == [p.name for p in study.test_patients(Run("mtv", fold))]
        )
        assert all(np.isnan(m.dice) for m in other) and min(m.dice for m in one) > 0.7
    assert set(features_in(Run("mtv", 0), tmp_path)["p" + study.test_patients(Run("mtv", 0))[0].name[1:]]) == set(
        MTV.features
    )


def test_a_study_is_never_mixed_with_another(cohort, tmp_path):
    opened(cohort, tmp_path)
    with pytest.raises(InputError, match=r"holds a study already.*--resume"):
        opened(cohort, tmp_path)
    with pytest.raises(InputError, match="another cohort or plan"):
        opened(cohort, tmp_path, resume=True, seed=1)
    other = write_study_cohort(tmp_path / "other", 8, outcome=0)
    with pytest.raises(InputError, match="another cohort or plan"):
        opened(other, tmp_path, resume=True)
    assert json.loads((tmp_path / "study.json").read_text())["plan"]["folds"] == 2


def test_all_bad_rows_are_reported_at_once(tmp_path):
    table = write_study_cohort(tmp_path / "cohort", 6)
    text = table.read_text().replace("p1-mask.nii.gz", "").replace("p3-scan.nii.gz", "gone.nii.gz")
    table.write_text(text.replace("p4-mask", "nowhere"))
    with pytest.raises(InputError) as raised:
        opened(table, tmp_path / "study")
    assert not (tmp_path / "study" / "study.json").exists()  # once corrected, it is a new study
    for said in ("3 rows cannot be used", "row 3: no mask", "row 5: scan gone.nii.gz", "row 6: mask"):
        assert said in str(raised.value)


def test_refusals_name_what_is_known(cohort, tmp_path):
    with pytest.raises(InputError, match="systems seventh do not exist; known are unet"):
        opened(cohort, tmp_path, ("seventh",))
    with pytest.raises(InputError, match="plan 'huge' is not one of small, full, try"):
        open_study(cohort, tmp_path, "huge")
    one_type = write_study_cohort(tmp_path / "one", 4, cancer_type="lung")
    with pytest.raises(InputError, match="one cancer type"):
        opened(one_type, tmp_path / "study")


def test_train_and_test_patients_are_disjoint(cohort, tmp_path):
    study = opened(cohort, tmp_path, ("ours", "unet"))
    tried = [patient.name for fold in range(2) for patient in study.test_patients(Run("ours", fold))]
    assert sorted(tried) == [f"p{n}" for n in range(8)]
    for run in study.runs():
        assert not {p.name for p in study.train_patients(run)} & {p.name for p in study.test_patients(run)}


def test_fewer_annotated_patients_are_part_of_more_and_of_both_types(cohort, tmp_path):
    study = opened(cohort, tmp_path, ("ours",))
    two, three = (study.train_patients(Run("ours", 0, n)) for n in (2, 3))
    assert [p.name for p in three[:2]] == [p.name for p in two]
    assert {p.cancer_type for p in two} == {"lung", "oesophagus"}


def test_the_curve_has_no_more_patients_than_there_are(cohort, tmp_path, monkeypatch):
    monkeypatch.setitem(PLANS, "try", replace(PLANS["try"], curve=(2, 4, 50)))
    runs = opened(cohort, tmp_path, ("ours", "unet", "cams")).runs()
    assert {run.annotated for run in runs} == {0, 2}
    assert {run.system for run in runs if run.annotated} == set(studying.CURVE_SYSTEMS)
