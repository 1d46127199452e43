"""Learning from clicks: lesions nobody clicked are found, "no lesion" is told, the file keeps it."""

import numpy as np
import pytest

from tests.helpers.mip_people import person
from wslpet.core.errors import ModelError, TrainingError
from wslpet.method.normal.atlas import build_atlas
from wslpet.method.segmentation.evidence import FEATURES, features, fit_presence
from wslpet.method.segmentation.finder import BLEND_SHIFT, blended, load_finder, save_finder
from wslpet.method.segmentation.learner import Learning, People, learn, site_atlas, training_set
from wslpet.method.segmentation.model import shipped_segmenter
from wslpet.method.segmentation.network import reduced
from wslpet.method.segmentation.training import SegmenterTraining


def clicked(rng: np.random.Generator, ill: int, well: int) -> tuple[People, np.ndarray]:
    """People with three lesions of which one is clicked; and all lesions."""
    drawn = [person(rng, 3) for _ in range(ill)] + [person(rng, 0) for _ in range(well)]
    images, masks = (np.stack(parts)[:, None] for parts in zip(*drawn, strict=True))
    clicks = [[(0, *np.argwhere(mask[0])[len(np.argwhere(mask[0])) // 2])] for mask in masks[:ill]]
    types = ("lung",) * ill + (None,) * well
    return People(images, types, clicks + [[]] * well), masks


@pytest.fixture(scope="module")
def cohort():
    return clicked(np.random.default_rng(0), 6, 12)


@pytest.fixture(scope="module")
def finder(cohort):
    training = SegmenterTraining(steps=30, ill=2, implanted=1, well=1, learning_rate=1e-2, averaging=0.8)
    return learn(cohort[0], Learning(training=training))


@pytest.mark.slow
def test_all_lesions_and_no_lesion_are_told(finder):
    rng = np.random.default_rng(7)
    new, masks = clicked(rng, 4, 4)
    found = finder.predict(new.images)
    inside = found.probability[:4][masks[:4]].mean()
    assert inside > 3 * found.probability[:4][~masks[:4]].mean()
    assert found.presence[:4].mean() > found.presence[4:].mean() + 0.2


@pytest.mark.slow
def test_a_file_keeps_the_finder(finder, cohort, tmp_path):
    save_finder(finder, tmp_path / "finder.pt")
    again = load_finder(tmp_path / "finder.pt")
    images = cohort[0].images[:2]
    assert np.allclose(finder.predict(images).presence, again.predict(images).presence, atol=0.05)
    (tmp_path / "finder.pt").write_bytes(b"no finder")
    with pytest.raises(ModelError, match=r"finder\.pt cannot be read"):
        load_finder(tmp_path / "finder.pt")


def test_clicks_teach_one_lesion_and_leave_the_others_unknown(cohort):
    people, masks = cohort
    lessons = training_set(people, site_atlas(people), Learning())
    masks = reduced(masks) >= 0.5
    clicked_part = lessons.lesions[:6] & masks[:6]
    assert clicked_part.any(axis=(1, 2, 3)).all()
    assert (lessons.lesions[:6] & ~masks[:6]).sum() < 0.1 * lessons.lesions[:6].sum()
    missed = masks[:6] & ~lessons.lesions[:6]
    assert missed.any() and lessons.known[:6][missed].mean() < 0.05
    assert lessons.known[6:].all() and not lessons.lesions[6:].any()


def test_without_the_ignored_pixels_they_are_background(cohort):
    lessons = training_set(cohort[0], site_atlas(cohort[0]), Learning(ignore=False))
    assert lessons.known.all()


def test_masks_are_learned_as_they_are(cohort):
    people, masks = cohort
    full = People(people.images, people.types, people.clicks, masks)
    lessons = training_set(full, site_atlas(full), Learning())
    assert lessons.known.all() and np.array_equal(lessons.lesions, reduced(masks) >= 0.5)


def test_with_few_lesion_free_people_others_teach_what_is_normal(cohort):
    people, _ = cohort
    few = People(people.images[:8], people.types[:8], people.clicks[:8])
    atlas = site_atlas(few)
    assert atlas.people == 8
    bladder = atlas.quantiles[0, 1][115:125, 60:68]
    assert bladder.min() > 5
    fallback = build_atlas(people.images[6:])
    assert site_atlas(People(people.images[:3], people.types[:3], people.clicks[:3]), fallback) is fallback


def test_one_patient_is_too_few(cohort):
    people, _ = cohort
    with pytest.raises(TrainingError, match="1 people have a lesion"):
        learn(People(people.images[5:], people.types[5:], people.clicks[5:]))


def test_presence_is_calibrated_and_needs_both_kinds():
    rng = np.random.default_rng(0)
    ill = rng.random(400) < 0.4
    rows = rng.normal(0, 1, (400, len(FEATURES))) + ill[:, None]
    presence = fit_presence(rows, ill)
    assert presence is not None
    probability = presence.probability(rows)
    for low in (0.0, 0.25, 0.5, 0.75):
        own = (probability >= low) & (probability < low + 0.25)
        assert abs(probability[own].mean() - ill[own].mean()) < 0.12
    assert fit_presence(rows, np.ones(400, dtype=bool)) is None


def test_one_certain_pixel_is_evidence():
    empty, certain = np.zeros((1, 64, 64), dtype=np.float32), np.zeros((1, 64, 64), dtype=np.float32)
    certain[0, 30, 30] = 0.99
    assert features(certain)[0] > features(empty)[0] + 10


def test_the_blend_is_the_mean_of_the_log_odds_in_the_coronal_view(cohort):
    people, _ = cohort
    images = np.repeat(reduced(people.images[:2]), 2, axis=1)
    shipped = shipped_segmenter()
    learned = np.full(images.shape, 0.9, dtype=np.float32)
    result = blended(learned, shipped, images)
    assert np.array_equal(result[:, 1], learned[:, 1])  # the shipped segmenter does not know the sagittal view
    other = shipped.predict(images[:, :1]).probability[:, 0]
    seen = (other > 0.001) & (other < 0.999)
    odds = (np.log(9) + np.log(other[seen] / (1 - other[seen]))) / 2 + BLEND_SHIFT
    assert seen.sum() > 100 and np.allclose(result[:, 0][seen], 1 / (1 + np.exp(-odds)), atol=1e-3)
    assert blended(learned, None, images) is learned
