from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from wslpet.core.seeds import NO_TUMOUR
from wslpet.data.phantom import PRESETS, make_patient
from wslpet.data.phantom.disease.sites import PLACES, STATIONS, node_cluster
from wslpet.data.phantom.lifelike.frame import LifelikeBody
from wslpet.data.phantom.lifelike.measurement import ORGANS, OrganMeasures, measure_organs

LIFELIKE = PRESETS["lifelike"]
COARSE = (8.0, 8.0, 8.0)
PEOPLE = 16
# Of 457 real patients: medians of volume (ml), place (right, anterior, superior) from the centre of the lungs and extent
# (width, depth, height), mm; then how far (5th to 95th percentile / 3.29) one patient lies from another.
REAL = {
    "lungs": ((3085, 0, 0, 0, 240, 167, 189), (944, 1, 1, 1, 20, 20, 20)),
    "liver": ((1578, 66, 24, -118, 175, 159, 144), (444, 15, 16, 16, 24, 21, 24)),
    "spleen": ((217, -99, -27, -116, 86, 82, 87), (125, 12, 19, 15, 12, 21, 21)),
    "kidneys": ((308, -4, -24, -184, 200, 65, 111), (84, 13, 17, 17, 23, 11, 15)),
    "stomach": ((394, -52, 45, -124, 130, 118, 108), (174, 17, 16, 18, 23, 22, 27)),
    "heart": ((610, -29, 43, -38, 126, 102, 114), (147, 14, 9, 9, 12, 13, 12)),
    "bladder": ((126, -1, 8, -419, 77, 73, 42), (79, 14, 21, 27, 11, 15, 14)),
}
TOLERANCE_SD = 1.3


@pytest.fixture(scope="module")
def measured() -> dict[str, list[OrganMeasures]]:
    settings = replace(LIFELIKE, fields=(("brain-thigh", 1.0),))
    people = [measure_organs(seed, settings, (6.0, 6.0, 6.0)) for seed in range(PEOPLE)]
    return {organ: [person[organ] for person in people if organ in person] for organ in ORGANS}


@pytest.mark.parametrize("organ", REAL)
def test_organs_measure_as_in_real_patients(measured: dict[str, list[OrganMeasures]], organ: str) -> None:
    found = measured[organ]
    assert len(found) == PEOPLE
    middle = np.median([(one.volume_ml, *one.place_mm, *one.extent_mm) for one in found], axis=0)
    off = (middle - REAL[organ][0]) / REAL[organ][1]
    assert np.abs(off).max() < TOLERANCE_SD, off.round(2)


def test_people_differ_as_real_ones(measured: dict[str, list[OrganMeasures]]) -> None:
    # Standard deviation of ln(volume) of the 457: 0.27 liver, 0.50 spleen, 0.51 bladder, 0.28 lungs, 0.24 heart.
    for organ, real in (("liver", 0.27), ("spleen", 0.5), ("bladder", 0.51), ("lungs", 0.28), ("heart", 0.24)):
        spread = np.std(np.log([one.volume_ml for one in measured[organ]]))
        assert 0.4 * real < spread < 1.8 * real, organ


def test_the_earlier_anatomy_would_not_pass() -> None:
    settings = replace(PRESETS["plain"], fields=(("vertex-thigh", 1.0),))
    heights = [measure_organs(seed, settings, (6.0, 6.0, 6.0))["lungs"].extent_mm[2] for seed in range(4)]
    (*_, real), (*_, sd) = REAL["lungs"]
    assert np.median(heights) > real + TOLERANCE_SD * sd


def test_patients_have_several_lesions_of_their_type_or_none() -> None:
    patients = [make_patient(seed, LIFELIKE, COARSE) for seed in range(14)]
    types = {patient.cancer_type for patient in patients}
    assert NO_TUMOUR in types and len(types) >= 3
    for patient in patients:
        assert (patient.cancer_type == NO_TUMOUR) == (not patient.lesions) == (not patient.truth.array.any())
        assert patient.seed.cancer_type == patient.cancer_type
    counts = [len(patient.lesions) for patient in patients if patient.lesions]
    assert min(counts) < 4 < max(counts)


def test_the_click_is_on_the_largest_lesion_in_the_scan() -> None:
    for seed in range(8):
        patient = make_patient(seed, LIFELIKE, (6.0, 6.0, 6.0), jitter_mm=0.0)
        if patient.lesions:
            index = tuple(np.rint(patient.volume.to_index(patient.seed.position)).astype(int))
            assert patient.truth.array[index] == 1


@pytest.mark.parametrize("region", [*PLACES, *STATIONS])
def test_sites_lie_in_the_body(region: str) -> None:
    rng = np.random.default_rng(3)
    for seed in range(6):
        body = LifelikeBody.draw(seed, LIFELIKE)
        places = np.array([PLACES[region](body, rng) for _ in range(8)]) if region in PLACES else node_cluster(region, 8, rng)
        assert np.isfinite(places).all() and (np.abs(places[:, :2]) < 340).all()
        if region == "lung":
            assert (body.lung_distance(*places.T) < 0).all()
        if region == "liver":
            assert (body.liver_distance(*places.T) < 0).all()
        if region not in ("soft", "popliteal", "bone"):
            assert (np.abs(places[:, 0]) < 190).all() and (places[:, 2] > -60).all()


def test_outermost_slices_are_noisier() -> None:
    loud = replace(LIFELIKE, edge_noise=(6.0, 6.0), fields=(("brain-thigh", 1.0),), no_tumour_fraction=1.0, mimics=())
    even = replace(loud, edge_noise=(1.0, 1.0))
    a, b = (make_patient(2, settings, (8.0, 8.0, 4.0)).volume.array for settings in (loud, even))
    rise = np.abs(a - b).mean(axis=(0, 1))
    assert rise[0] > 5 * rise[len(rise) // 2] and rise[-1] > 5 * rise[len(rise) // 2]


def test_organs_are_cut_by_the_field_of_view() -> None:
    thorax = replace(LIFELIKE, fields=(("thorax", 1.0),))
    found = measure_organs(0, thorax)
    assert "bladder" not in found and "lungs" in found
