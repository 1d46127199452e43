"""Failures by place in the body, and pictures of cases, which need the masks of the runs."""

from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.mip_cohort import keep_frames, write_mip_cohort
from wslpet.method.normal.frame import BodyFrame
from wslpet.study.mips.cohort import Cohort, load
from wslpet.study.mips.judging import Prediction, judge
from wslpet.study.mips.report.cases import draw_cases, failures_by_kind, panel
from wslpet.study.mips.report.failures import ELSEWHERE, failures_of, region_at
from wslpet.study.mips.runs import Task, mask_of
from wslpet.study.mips.study import REFERENCE, open_mip_study
from wslpet.study.report.figures import panels_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_mip_cohort(tmp_path_factory.mktemp("mips") / "cohort")


@pytest.fixture
def cohort(folder, tmp_path) -> Cohort:
    keep_frames(folder, tmp_path / "cache", 20)
    return load(folder, tmp_path / "cache")


@pytest.mark.parametrize(
    ("mm", "region"),
    [
        ((80, 250), "brain"),
        ((260, 190), "neck and shoulders: brown fat, tonsils, thyroid"),
        ((400, 310), "heart"),
        ((360, 200), "lungs, mediastinum"),
        ((520, 180), "liver, kidneys, stomach"),
        ((600, 250), "bowel"),
        ((740, 256), "bladder"),
        ((740, 120), ELSEWHERE),
        ((900, 256), ELSEWHERE),
    ],
)
def test_a_place_is_named_in_the_frame_of_the_body_whatever_the_image(cohort, mm, region):
    frame = BodyFrame((-130.0, 40.0), (1.1, 0.9))
    moved = Cohort(cohort.people, [frame, *cohort.frames[1:]])
    pixel = (np.array(frame.origin) + np.array(frame.scale) * mm) / cohort.people[0].image.spacing - 0.5
    assert region_at(moved, 0, tuple(pixel)) == region


def test_failures_are_counted_by_place_and_size(cohort):
    ill, well = cohort.people[0], cohort.people[-1]
    assert ill.cancer_type == "lung" and well.cancer_type is None
    mask = np.zeros(ill.image.pixels.shape, dtype=bool)
    mask[195:205, 145:160] = True  # 400 mm, 310 mm: heart
    strength = mask.astype(float)
    outcomes = [judge(p, Prediction(strength, mask, 1.0, None)) for p in (ill, well)]
    found = failures_of(outcomes, cohort)
    assert found.misplaced == {"heart": 1}
    assert [dict(c) for c in found.false_parts] == [{"heart": 1}, {"heart": 1}]
    place = region_at(cohort, 0, tuple(np.argwhere(ill.mask).mean(axis=0)))
    assert +found.missed == {place: 1} == +found.lesions
    assert not +found.missed_small and not +found.small  # the disc has 8 cm²


def test_people_with_most_failures_of_a_kind_come_first(cohort):
    ill, *others = cohort.people[0], *cohort.people[-2:]
    masks = []
    for hearts in (1, 2, 0):
        mask = np.zeros(ill.image.pixels.shape, dtype=bool)
        for number in range(hearts):  # 400 mm and 420 mm, 310 mm: heart
            mask[198 + 10 * number : 202 + 10 * number, 148:156] = True
        masks.append(mask)
    judged = [judge(p, Prediction(m * 1.0, m, 1.0, None)) for p, m in zip((ill, *others), masks, strict=True)]
    small = replace(judged[0], areas=[0.3, 0.4, 3.0], overlapped=[0.0, 0.2, 0.0])
    found = failures_by_kind([small, *judged[1:]], cohort)
    names = {kind: [one.name for one in people] for kind, people in found.items()}
    assert names == {"false-heart": [others[0].name, ill.name], "missed-small": [ill.name]}


def test_outlines_lie_on_the_lesions_of_the_picture(cohort):
    person = cohort.people[0]
    one = judge(person, Prediction(person.mask.astype(float), person.mask, 1.0, None))
    _, (axes,) = panels_of(1, 3, 5)
    panel(axes, person, np.zeros_like(person.mask), one)
    (outline,) = axes.collections[0].get_paths()
    rows, columns = np.nonzero(person.mask)
    middle = (np.array([columns.mean(), rows.mean()]) + 0.5) * person.image.spacing[::-1]
    assert np.allclose((outline.vertices.min(axis=0) + outline.vertices.max(axis=0)) / 2, middle, atol=1.5)
    assert axes.images[0].get_extent()[2:] == [person.mask.shape[0] * person.image.spacing[0], 0.0]


def test_cases_are_drawn_from_masks_beside_the_runs_and_not_in_the_report(folder, tmp_path):
    keep_frames(folder, tmp_path / "study/cache", 20)
    study = open_mip_study(folder, tmp_path / "study", "try", n_folds=2, systems=(REFERENCE,))
    from wslpet.study.mips.runs import execute

    runs = [run for run in study.runs() if run.fold == 0]
    execute(runs, study.task)
    name = study.cohort.people[runs[0].judged[0]].name
    assert mask_of(runs[0], study.task, name).shape == study.cohort.people[0].image.pixels.shape
    assert mask_of(runs[0], Task(study.cohort, study.cohort, study.task.effort, tmp_path / "no/runs"), name) is None
    assert {"best", "median", "worst"} <= set(draw_cases(study, study.folder / "cases"))
    assert (study.folder / "cases/worst.png").stat().st_size > 10_000
