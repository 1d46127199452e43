from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from wslpet.core.errors import InputError
from wslpet.data.phantom import PRESETS, Patient, Uptake, make_patient, write_cohort
from wslpet.data.phantom.disease.mimics import MIMICS
from wslpet.core.seeds import NO_TUMOUR
from wslpet.core.volume import Volume

COARSE = (8.0, 8.0, 8.0)
THORAX = replace(PRESETS["hard"], fields=(("thorax", 1.0),))


def centroid(volume: Volume) -> np.ndarray:
    return volume.to_world(np.argwhere(volume.array > 0)).mean(axis=0)


def coarse(seed: int, preset: str = "plain") -> Patient:
    return make_patient(seed, PRESETS[preset], COARSE)


@pytest.mark.parametrize("preset", ["plain", "hard", "fed", "train"])
def test_same_seed_same_patient(preset: str) -> None:
    first, second = coarse(5, preset), coarse(5, preset)
    assert np.array_equal(first.volume.array, second.volume.array)
    assert np.array_equal(first.truth.array, second.truth.array)
    assert first.seed == second.seed
    assert not np.array_equal(first.volume.array.shape, coarse(6, preset).volume.array.shape) or not np.array_equal(
        first.volume.array, coarse(6, preset).volume.array
    )


def test_geometry_and_dtypes() -> None:
    patient = make_patient(3, THORAX)
    assert patient.volume.array.dtype == np.float32
    assert patient.truth.array.dtype == np.uint8
    assert set(np.unique(patient.truth.array)) == {0, 1}
    assert np.array_equal(patient.volume.affine, patient.truth.affine)
    assert nib.aff2axcodes(patient.volume.affine) == ("R", "A", "S")
    assert np.isfinite(patient.volume.array).all() and patient.volume.array.min() >= 0


def test_default_voxel_is_the_papers() -> None:
    thorax = replace(PRESETS["plain"], fields=(("thorax", 1.0),))
    assert make_patient(0, thorax).volume.spacing == pytest.approx((4.06, 4.06, 2.0))


@pytest.mark.parametrize("seed", range(4))
def test_truth_is_the_same_in_the_world_at_any_voxel_size(seed: int) -> None:
    # A spread-out truth, so that thresholding the voxel fraction shifts its centre little.
    settings = replace(THORAX, nodes=0.0)
    sizes = [(4.0, 4.0, 4.0), (3.0, 3.0, 5.0), (6.0, 6.0, 3.0)]
    patients = [make_patient(seed, settings, size) for size in sizes]
    for patient, size in zip(patients[1:], sizes[1:], strict=True):
        shift = np.abs(centroid(patient.truth) - centroid(patients[0].truth))
        assert (shift < 0.5 * np.maximum(size, sizes[0])).all()
        volumes = [p.truth.array.sum() * p.truth.voxel_ml for p in (patient, patients[0])]
        assert volumes[0] == pytest.approx(volumes[1], rel=0.3, abs=0.6)


@pytest.mark.parametrize("preset", ["plain", "hard", "fed"])
def test_truth_lies_inside_the_body(preset: str) -> None:
    for seed in range(6):
        patient = coarse(seed, preset)
        inside = patient.truth.array > 0
        assert inside.any()
        box = np.argwhere(patient.volume.array > 0.1)
        where = np.argwhere(inside)
        assert (where.min(axis=0) >= box.min(axis=0)).all() and (where.max(axis=0) <= box.max(axis=0)).all()
        assert np.median(patient.volume.array[inside]) > 0.3


def test_click_is_jittered_about_a_voxel_of_the_primary() -> None:
    offsets = []
    for seed in range(14):
        patient = make_patient(seed, THORAX, COARSE)
        exact = make_patient(seed, THORAX, COARSE, jitter_mm=0.0) if seed < 6 else None
        if exact is not None:
            index = tuple(np.rint(exact.volume.to_index(exact.seed.position)).astype(int))
            assert exact.truth.array[index] == 1
            offsets.append(np.array(patient.seed.position) - exact.seed.position)
        distance = np.linalg.norm(np.array(patient.seed.position) - patient.lesions[0].centre)
        assert distance < 4 * 4.0 * np.sqrt(3) + 30
    assert 1.5 < np.std(offsets) < 7.0


def test_lesions_describe_the_truth() -> None:
    for seed in range(8):
        patient = make_patient(seed, THORAX, (5.0, 5.0, 5.0))
        assert patient.lesions[0].kind == "primary"
        assert {lesion.kind for lesion in patient.lesions[1:]} <= {"node"}
        total = sum(lesion.volume_ml for lesion in patient.lesions)
        assert total >= patient.truth.array.sum() * patient.truth.voxel_ml - 1e-3
        inside = patient.volume.array[patient.truth.array > 0]
        assert max(lesion.suv_max for lesion in patient.lesions) == pytest.approx(inside.max(), abs=1e-3)


def test_involved_nodes_hold_a_small_share() -> None:
    settings = replace(THORAX, nodes=1.0)
    shares = []
    for seed in range(12):
        volumes = [lesion.volume_ml for lesion in make_patient(seed, settings, COARSE).lesions]
        shares.append(sum(volumes[1:]) / sum(volumes))
    assert any(share > 0 for share in shares)
    assert np.mean(shares) < 0.35


def test_organs_have_their_uptake() -> None:
    quiet = replace(PRESETS["plain"], fields=(("vertex-thigh", 1.0),), no_tumour_fraction=1.0)
    patient = make_patient(1, quiet, (4.0, 4.0, 4.0))
    suv, drawn = patient.volume.array, patient.description["uptake"]
    z = patient.volume.to_world(np.stack([np.zeros(suv.shape[2]), np.zeros(suv.shape[2]), np.arange(suv.shape[2])], 1))
    head = suv[:, :, z[:, 2] > z[-1, 2] - 120]
    assert np.percentile(head, 99) == pytest.approx(drawn["brain"], rel=0.35)
    assert suv.max() == pytest.approx(drawn["bladder"], rel=0.5)
    liver = suv[(suv > 0.85 * drawn["liver"]) & (suv < 1.25 * drawn["liver"])].size * patient.volume.voxel_ml
    assert liver > 700
    body = suv[suv > 0.1]
    assert 0.3 < np.median(body) < 1.0
    uptake = Uptake()
    for name in ("brain", "liver", "spleen", "blood", "lung", "muscle", "marrow", "bladder"):
        low, high = getattr(uptake, name)
        assert low <= drawn[name] <= high


def test_types_are_balanced_and_names_say_nothing() -> None:
    patients = [make_patient(seed, THORAX, (16.0, 16.0, 16.0)) for seed in range(20)]
    assert [p.cancer_type for p in patients].count("lung") == 10
    assert all(p.seed.cancer_type == p.cancer_type for p in patients)
    parity = [(p.cancer_type == "lung") == (n % 2 == 0) for n, p in enumerate(patients)]
    assert 0 < sum(parity) < 20
    assert patients[7].name == "patient-0007"


def test_hard_has_mimics_and_plain_has_none() -> None:
    tiny = (16.0, 16.0, 16.0)
    hard = [make_patient(seed, PRESETS["hard"], tiny).description for seed in range(16)]
    assert sum(bool(d["mimics"]) for d in hard) > 8
    assert len({d["fov"] for d in hard}) > 2
    assert {d["arms"] for d in hard} == {"up", "down"}
    assert len({d["scanner"] for d in hard}) > 3
    assert not any(make_patient(seed, PRESETS["plain"], tiny).description["mimics"] for seed in range(6))


@pytest.mark.parametrize("mimic", sorted(MIMICS))
def test_each_mimic_raises_uptake_outside_the_truth(mimic: str) -> None:
    base = replace(PRESETS["hard"], mimics=(), fields=(("vertex-thigh", 1.0),))
    for seed in range(8):
        with_mimic = make_patient(seed, replace(base, mimics=((mimic, 1.0),)), COARSE)
        without = make_patient(seed, base, COARSE)
        if with_mimic.description["mimics"]:
            break
    assert with_mimic.description["mimics"] == [mimic]
    assert np.array_equal(with_mimic.truth.array, without.truth.array)
    rise = (with_mimic.volume.array - without.volume.array)[with_mimic.truth.array == 0]
    assert rise.max() > 0.15


def test_tumour_stands_out_of_what_surrounds_it() -> None:
    for seed in range(8):
        patient = make_patient(seed, replace(THORAX, mimics=()), (5.0, 5.0, 5.0))
        primary = patient.lesions[0]
        middle = np.rint(patient.volume.to_index(np.array(primary.centre))).astype(int)
        around = tuple(slice(max(c - 10, 0), c + 11) for c in middle)
        near = patient.volume.array[around][patient.truth.array[around] == 0]
        assert primary.suv_max > 1.2 * np.median(near)


def test_no_tumour_fraction() -> None:
    settings = replace(THORAX, no_tumour_fraction=1.0)
    patient = make_patient(4, settings, COARSE)
    assert patient.cancer_type == NO_TUMOUR and patient.seed.cancer_type == NO_TUMOUR
    assert not patient.truth.array.any() and patient.lesions == ()
    some = replace(THORAX, no_tumour_fraction=0.4)
    types = [make_patient(seed, some, (16.0, 16.0, 16.0)).cancer_type for seed in range(20)]
    assert 2 <= types.count(NO_TUMOUR) <= 15


def test_wrong_settings_are_named() -> None:
    with pytest.raises(InputError, match="'harder' does not exist; choose one of"):
        PRESETS["harder"]
    with pytest.raises(InputError, match="no_tumour_fraction 2"):
        replace(PRESETS["plain"], no_tumour_fraction=2)
    with pytest.raises(InputError, match="mimic 'ghost'"):
        make_patient(0, replace(THORAX, mimics=(("ghost", 1.0),)), COARSE)
    with pytest.raises(InputError, match="seed -1"):
        make_patient(-1)


def test_orientation_code_is_checked(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'RLS' is not an axis code"):
        write_cohort(tmp_path / "studies", 1, 0, THORAX, orientation="RLS")


def test_cohort_on_disk_keeps_world_and_suv(tmp_path: Path) -> None:
    settings = replace(THORAX, scanners=((replace(THORAX.scanners[0][0], voxel_mm=(6.0, 5.0, 4.0)), 1.0),))
    done: list[tuple[int, int]] = []
    write_cohort(tmp_path / "studies", 4, 2, settings, progress=lambda i, n: done.append((i, n)))
    assert done[-1] == (4, 4)
    assert sorted(p.name for p in (tmp_path / "studies").iterdir()) == [f"patient-{n:04d}.nii.gz" for n in range(4)]
    truths = tmp_path / "studies-truth"
    with open(truths / "cohort.csv") as file:
        rows = list(csv.DictReader(file))
    assert len({row["orientation"] for row in rows}) > 1
    for row in rows:
        original = make_patient(int(row["seed"]), settings)
        scan, mask = nib.load(truths / row["scan"]), nib.load(truths / row["mask"])
        assert "".join(nib.aff2axcodes(scan.affine)) == row["orientation"]
        assert np.allclose(scan.affine, mask.affine, atol=1e-3)
        assert mask.get_data_dtype() == np.uint8 and scan.get_data_dtype() == np.int16
        stored = Volume(scan.get_fdata(dtype=np.float32), scan.affine)
        truth = Volume(np.asarray(mask.dataobj), mask.affine, "label")
        back = stored.to_ras()
        assert back.shape == original.volume.shape
        bright = original.volume.array > 0.5
        assert np.allclose(back.array[bright], original.volume.array[bright], rtol=5e-3)
        assert np.array_equal(truth.to_ras().array, original.truth.array)
        click = np.array([float(row[c]) for c in "xyz"])
        shift = centroid(truth) - centroid(original.truth)
        assert np.allclose(click - shift, original.seed.position, atol=0.02)
        assert np.linalg.norm(shift) > 1


def test_cohort_in_one_orientation_by_two_workers(tmp_path: Path) -> None:
    settings = replace(THORAX, scanners=((replace(THORAX.scanners[0][0], voxel_mm=COARSE), 1.0),))
    write_cohort(tmp_path / "a", 3, 1, settings, orientation="LPS", workers=2)
    write_cohort(tmp_path / "b", 3, 1, settings, orientation="LPS")
    for n in range(3):
        a, b = (nib.load(tmp_path / f / f"patient-{n:04d}.nii.gz") for f in "ab")
        assert nib.aff2axcodes(a.affine) == ("L", "P", "S")
        assert np.array_equal(np.asarray(a.dataobj), np.asarray(b.dataobj))


@pytest.mark.parametrize("preset", ["plain", "hard"])
def test_the_truth_is_drawn_around_the_tumour_as_readers_do(preset: str) -> None:
    for seed in (3, 4):
        patient = make_patient(seed, PRESETS[preset])
        truth, extent = patient.truth.array > 0, patient.extent.array > 0
        assert (truth & extent).sum() > 0.97 * extent.sum()
        # An edge of 6 mm FWHM falls to three tenths 1.3 mm beyond where it falls to half.
        radius = [(3 * n.sum() * patient.truth.voxel_ml * 1000 / (4 * np.pi)) ** (1 / 3) for n in (truth, extent)]
        assert 0.3 < radius[0] - radius[1] < 2.5
