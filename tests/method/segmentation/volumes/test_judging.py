from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from tests.helpers.blobs import stored_as
from wslpet.core.seeds import NO_TUMOUR, Annotation, Seed
from wslpet.core.volume import Volume
from wslpet.method.delineation.contours import Contour
from wslpet.method.segmentation.volumes import judging
from wslpet.method.segmentation.volumes.judging import FOUND_MM, judge_lesions

AFFINE = np.array([[3.0, 0, 0, -40], [0, 4.0, 0, 25], [0, 0, 5.0, 310], [0, 0, 0, 1]])
# Of the lesion that is "found": voxels 4 to 6 along x, 10 along y, 20 along z.
START, SHAPE = (4, 10, 20), (3, 1, 1)


@pytest.fixture
def answers(monkeypatch):
    """Function: each model, named by itself, finds the lesion or not, and says a type."""

    def set_answers(found: dict[str, tuple[bool, str]]) -> None:
        def find(scan: Volume, model: str) -> SimpleNamespace:
            has_lesion, said = found[model]
            contour = Contour(start=START, inside=np.ones(SHAPE, dtype=bool), features=np.zeros(1))
            return SimpleNamespace(contours=(contour,) if has_lesion else (), cancer_type=said)

        monkeypatch.setattr(judging, "find_lesions", find)

    return set_answers


STORED = {
    "RAS": ((0, 1, 2), (False, False, False)),
    "LPI": ((0, 1, 2), (True, True, True)),
    "SAR": ((2, 1, 0), (False, False, True)),
    "PIL": ((1, 2, 0), (True, True, True)),
}


def scan(orientation: str) -> Volume:
    return stored_as(Volume(np.zeros((15, 21, 30), dtype=np.float32), AFFINE, "SUV", "p"), *STORED[orientation])


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize(("away", "found"), [(0.0, True), (FOUND_MM - 1, True), (FOUND_MM + 1, False)])
def test_a_lesion_is_found_where_a_contour_is_near_its_seed(answers, orientation, away, found):
    """The contour's first voxel is (4, 10, 20) in RAS; the seed lies on its other side of the last, (6, 10, 20)."""
    answers({"old": (False, NO_TUMOUR), "new": (True, "lung")})
    seed = Seed("lung", (-40 + 3 * 6 + away, 25 + 4 * 10, 310 + 5 * 20))
    judged = judge_lesions("old", "new", [("p", scan(orientation), Annotation((seed,)))]).patients[0]
    assert (judged.before.found, judged.before.error_mm, judged.before.cancer_type) == (False, None, NO_TUMOUR)
    assert judged.after.found is found
    assert judged.after.error_mm == pytest.approx(away, abs=0.05)
    assert judged.gain() == (1.0 if found else 0.5)


def test_without_a_tumour_the_type_alone_is_judged(answers):
    answers({"old": (True, "lung"), "new": (False, NO_TUMOUR)})
    said = Annotation((Seed(NO_TUMOUR, (0.0, 0.0, 0.0)),))
    judgement = judge_lesions("old", "new", [(f"p{n}", scan("RAS"), said) for n in (3, 1, 2, 5, 4)])
    assert [one.name for one in judgement.patients] == ["p1", "p2", "p3", "p4", "p5"]
    assert all(one.after.found is None and one.gain() == 1.0 for one in judgement.patients)
    assert judgement.verdict == "better"
