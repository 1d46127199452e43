"""Agreement of two readers, against numbers that are known."""

import numpy as np
import pytest

from wslpet.analysis.burden.readers import PairAgreement, compare, kappa, matched_lesions, summarise


def labels(*boxes):
    made = np.zeros((12, 10, 9), np.uint8)
    for number, (start, stop) in enumerate(boxes, start=1):
        made[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = number
    return made


def test_a_lesion_matches_one_other_by_the_most_shared_voxels():
    one = labels(((0, 0, 0), (4, 2, 2)), ((8, 8, 8), (9, 9, 9)))
    # Two of the other reader lie in the first lesion; the third is elsewhere.
    other = labels(((0, 0, 0), (1, 2, 2)), ((1, 0, 0), (4, 2, 2)), ((6, 0, 0), (7, 1, 1)))
    assert matched_lesions(one, other) == 1
    assert matched_lesions(other, one) == 1
    assert matched_lesions(one, labels()) == 0


def test_two_readings_of_a_patient():
    one, other = labels(((0, 0, 0), (4, 2, 2))), labels(((0, 0, 0), (2, 2, 2)), ((8, 8, 8), (9, 9, 9)))
    pair = compare(("Ann", "Ben"), ("lung", "oesophagus"), (one, other), voxel_ml=0.5)
    assert pair.lesions == (1, 2)
    assert pair.matched == 1
    assert pair.dice == pytest.approx(2 * 8 / (16 + 9))
    assert pair.tmtv_ml == (8, 4.5)
    assert pair.tmtv_difference_ml == -3.5
    assert not pair.type_agrees
    assert PairAgreement.from_dict(pair.to_dict()) == pair


def test_two_readings_without_lesions_agree():
    pair = compare(("Ann", "Ben"), ("no tumour", "no tumour"), (labels(), labels()), 1.0)
    assert (pair.dice, pair.matched, pair.lesions) == (1.0, 0, (0, 0))


def pair_of(types, tmtv, dice=1.0, readers=("Ann", "Ben")):
    return PairAgreement(readers, types, (1, 1), 1, dice, tmtv)


def test_bland_altman_and_kappa_of_a_cohort():
    lung, oesophagus = "lung", "oesophagus"
    pairs = [
        pair_of((lung, lung), (10.0, 12.0), 0.9),
        pair_of((lung, oesophagus), (20.0, 20.0), 0.5),
        pair_of((oesophagus, oesophagus), (5.0, 9.0), 0.7),
        pair_of((lung, lung), (1.0, 1.0), readers=("Ann", "Cy")),
    ]
    first, second = summarise(pairs)
    assert (first.readers, first.patients, second.patients) == (("Ann", "Ben"), 3, 1)
    # Differences 2, 0, 4: mean 2, standard deviation 2.
    assert first.tmtv_bias_ml == pytest.approx(2)
    assert first.tmtv_sd_ml == pytest.approx(2)
    assert first.tmtv_limits_ml == pytest.approx((2 - 3.92, 2 + 3.92))
    # Observed 2/3; by chance 2/3 · 1/3 + 1/3 · 2/3 = 4/9: (2/3 - 4/9) / (1 - 4/9) = 0.4.
    assert first.kappa == pytest.approx(0.4)
    assert (first.dice_median, first.lesions_agree) == (0.7, 1.0)
    assert (second.kappa, second.tmtv_sd_ml, second.tmtv_limits_ml) == (None, None, None)
    assert kappa([(lung, lung), (lung, lung)]) is None
