"""One way for a click: what is recorded, what is not, and what is recorded once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.synthetic import write_scan
from wslpet.core.errors import SeedError
from wslpet.core.seeds import NO_TUMOUR, ContourChoice
from wslpet.core.settings import Settings
from wslpet.data.log_records import Withdrawal
from wslpet.server.errors import Conflict, UnknownName
from wslpet.server.http.fifo_semaphore import processors
from wslpet.server.storage.annotations.service import AnnotationRequest, AnnotationService, Place
from wslpet.server.storage.datastore import SeededDatastore

SETTINGS = Settings(no_tumour=True)


@pytest.fixture
def scan(tmp_path):
    return write_scan(tmp_path, "case", "permuted")


@pytest.fixture
def service(tmp_path, scan):
    return AnnotationService(SeededDatastore(str(tmp_path), SETTINGS), SETTINGS)


def said(service):
    return [annotation for annotation, _ in service.history("case")]


def test_a_viewers_voxel_and_the_pages_position_are_the_same_seed(service, scan):
    viewer = service.annotate(AnnotationRequest("case", "lung", "Ann", (Place(scan.click),)), lambda opened, seed: seed)
    assert viewer.answer == viewer.annotation and not viewer.known
    page = service.check(
        AnnotationRequest("case", "lung", "Ben", (Place(position=viewer.annotation.position),), seen=1)
    )
    np.testing.assert_allclose(page.annotation.index, scan.click, atol=1e-3)
    np.testing.assert_allclose(page.annotation.position, viewer.annotation.position, atol=1e-2)
    assert said(service) == [viewer.annotation, page.annotation]


def test_a_preview_records_nothing(service, scan):
    result = service.preview(AnnotationRequest("case", "lung", "", (Place(scan.click),)))
    assert result.mask.array.any()
    assert said(service) == []


def test_a_refused_click_is_not_recorded_and_one_that_fails_is(service, scan):
    click = AnnotationRequest("case", "lung", "Ann", (Place(scan.click),))

    def fails(error):
        def delineated(opened, seed):
            raise error

        return delineated

    with pytest.raises(SeedError):
        service.annotate(click, fails(SeedError("nothing stands out")))
    assert said(service) == []
    with pytest.raises(ZeroDivisionError):
        service.annotate(click, fails(ZeroDivisionError()))
    assert [seed.user for seed in said(service)] == ["Ann"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cancer_type": "liver"}, "unknown cancer type 'liver'"),
        ({"lesions": ()}, "lung needs a place"),
        ({"lesions": (Place([-9, 0, 0]),)}, "lies outside"),
        ({"lesions": (Place([0, 0, 0]),)}, "nothing stands out"),
    ],
)
def test_unusable_requests_are_refused(service, scan, change, words):
    with pytest.raises(SeedError, match=words):
        service.check(replace(AnnotationRequest("case", "lung", "Ann", (Place(scan.click),)), **change))
    assert said(service) == []


def test_an_unknown_image_is_refused_before_waiting_for_a_processor(service):
    with processors, pytest.raises(UnknownName):
        service.check(AnnotationRequest("nobody", NO_TUMOUR, "Ann"))


def test_a_click_on_an_image_that_is_removed_meanwhile_is_not_recorded(service, scan):
    datastore = service._datastore
    click = AnnotationRequest("case", "lung", "Ann", (Place(scan.click),))
    with pytest.raises(UnknownName):
        service.annotate(click, lambda opened, seed: datastore.remove_image("case"))
    assert datastore.seeds.get("case") == []


def test_a_click_in_a_session_is_answered_and_not_recorded(service, scan):
    click = AnnotationRequest(None, "lung", "Ann", (Place(scan.click),), path=scan.path)
    assert service.annotate(click, lambda opened, seed: seed.cancer_type).answer == "lung"
    assert said(service) == []


def test_the_same_id_is_recorded_once(service, scan):
    click = AnnotationRequest("case", "lung", "Ann", (Place(scan.click),), id="one")
    first, again = service.check(click), service.check(click)
    assert (first.known, again.known) == (False, True)
    assert again.annotation == first.annotation and said(service) == [first.annotation]
    with pytest.raises(Conflict, match="send a new id"):
        service.check(AnnotationRequest("case", NO_TUMOUR, "Ann", id="one"))


def test_without_an_id_an_unseen_equal_click_is_the_same_request(service, scan):
    service.check(AnnotationRequest("case", "lung", "Ann", (Place(scan.click),)))
    assert service.check(AnnotationRequest("case", "lung", "Ann", (Place(scan.click),))).known
    assert not service.check(AnnotationRequest("case", "lung", "Ann", (Place(scan.click),), seen=1)).known


def test_annotations_of_others_since_then_are_returned(service, scan):
    other = service.check(AnnotationRequest("case", NO_TUMOUR, "Ben"))
    assert service.check(AnnotationRequest("case", "lung", "Ann", (Place(scan.click),))).meanwhile == (
        other.annotation,
    )


def test_withdrawing_the_newest_annotation_makes_the_one_before_valid(service, scan):
    first = service.check(AnnotationRequest("case", NO_TUMOUR, "Ben")).annotation
    second = service.check(AnnotationRequest("case", "lung", "Ann", (Place(scan.click),), seen=1)).annotation
    with pytest.raises(Conflict):
        service.withdraw("case", "never", "Ann")
    service.withdraw("case", second.time, "Ann")
    history = service.history("case")
    assert [counts for _, counts in history] == [True, False, False]
    assert history[0][0] == first and isinstance(history[-1][0], Withdrawal)


def test_a_repeated_seed_keeps_user_and_time_of_its_first_record(service, scan):
    first = service.check(AnnotationRequest("case", "lung", "Ann", (Place(scan.click),))).annotation
    aside = Place([v + 1 for v in scan.click], contour=ContourChoice("41 %"))
    request = AnnotationRequest("case", "lung", "Ben", (Place(scan.click), aside), (Place([4, 4, 4]),), seen=1)
    second = service.check(request).annotation
    assert [(seed.user, seed.time) for seed in second.seeds] == [("Ann", first.time), ("Ben", second.time)]
    assert second.user == "Ben" and [seed.index for seed in second.background] == [(4, 4, 4)]
    assert [seed.contour.method for seed in second.seeds] == ["ours", "41 %"]
    assert service.check(request).known and said(service) == [first, second]
