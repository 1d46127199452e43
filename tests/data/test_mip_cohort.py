"""Cohorts of MIPs: pictures and NIfTI of any orientation, and what is refused."""

import csv

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from tests.helpers.dicom_series import DATA
from wslpet.core.errors import InputError
from wslpet.method.normal.frame import usual_frame
from wslpet.method.normal.reference import load_reference
from wslpet.data.mip_cohort import is_mip_cohort, people_of, read_mip_cohort

ROWS, COLUMNS = 60, 40
LESION = (12, 29)  # row, column: near the head, on the patient's left


def picture() -> np.ndarray:
    """(row, column) SUV."""
    image = np.zeros((ROWS, COLUMNS), dtype=np.float32)
    image[5:55, 8:32] = 1.0
    image[LESION[0] - 1 : LESION[0] + 2, LESION[1] - 1 : LESION[1] + 2] = 7.0
    return image


def write_table(folder, *rows):
    folder.joinpath("images").mkdir(exist_ok=True)
    with open(folder / "cohort.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "cancer_type", "click_x", "click_y"])
        writer.writerows(rows)


def write_png(folder, name="a"):
    grey = np.round(255 * (1 - picture() / 7)).astype(np.uint8)
    Image.fromarray(grey).save(folder / "images" / f"{name}.png")


def test_a_png_is_inverted_suv_and_its_click_is_column_then_row(tmp_path):
    write_table(tmp_path, ("a", "lung", LESION[1], LESION[0]), ("b", "none", "", ""))
    write_png(tmp_path)
    write_png(tmp_path, "b")
    (tmp_path / "masks").mkdir()
    Image.fromarray(((picture() > 5) * 255).astype(np.uint8)).save(tmp_path / "masks" / "a.png")
    ill, well = read_mip_cohort(tmp_path)
    assert np.allclose(ill.image.pixels, picture(), atol=0.02) and ill.image.spacing == (2.0, 2.036)
    assert ill.click == LESION and ill.mask is not None and ill.mask[ill.click] and ill.mask.sum() == 9
    assert well.cancer_type is None and well.click is None and not well.mask.any()


def test_a_table_that_excel_saved_with_semicolons_is_read(tmp_path):
    write_table(tmp_path)
    content = f"image;cancer_type;click_x;click_y\r\na;lung;{LESION[1]},0;{LESION[0]},0\r\n"
    (tmp_path / "cohort.csv").write_bytes(content.encode("utf-8-sig"))
    write_png(tmp_path)
    assert is_mip_cohort(tmp_path)
    (ill,) = read_mip_cohort(tmp_path)
    assert ill.click == LESION


@pytest.mark.parametrize("code", ["RAS", "LAS", "RAI", "LPI"])
@pytest.mark.parametrize("flat", [False, True])
def test_a_nifti_of_any_orientation_is_shown_alike(tmp_path, code, flat):
    ras = picture()[::-1, ::-1].T[:, None, :]  # (x to the right, y, z to the head)
    affine = np.diag([3.0, 5.0, 2.5, 1.0])
    affine[:3, 3] = (-40.0, 7.0, 200.0)
    target = nib.orientations.axcodes2ornt(code)
    image = nib.Nifti1Image(ras, affine).as_reoriented(target)
    index = np.linalg.inv(image.affine) @ affine @ (COLUMNS - 1 - LESION[1], 0, ROWS - 1 - LESION[0], 1)
    if flat:
        plane = image.affine[[0, 2, 1, 3]][:, [0, 2, 1, 3]]
        image = nib.Nifti1Image(np.asarray(image.dataobj)[:, 0], plane)
    write_table(tmp_path, ("a", "lung", round(index[0]), round(index[2])))
    nib.save(image, tmp_path / "images" / "a.nii.gz")
    (person,) = read_mip_cohort(tmp_path)
    assert np.allclose(person.image.pixels, picture())
    assert np.allclose(person.image.spacing, (2.5, 3.0)) and person.click == LESION


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("a", "lung", "x", "3"), "click 'x', '3' is not two numbers"),
        (("a", "lung", "3", "60"), r"click \(3, 60\) is outside the image of 40 × 60"),
        (("c", "lung", "3", "3"), r"there is no images/c"),
        (("../a", "lung", "3", "3"), "give a file name"),
        (("a", "", "3", "3"), "give a file name and a type"),
    ],
)
def test_rows_that_cannot_be_used_are_refused(tmp_path, row, message):
    write_table(tmp_path, row)
    write_png(tmp_path)
    with pytest.raises(InputError, match=message):
        read_mip_cohort(tmp_path)


def test_damaged_and_volume_files_are_refused(tmp_path):
    write_table(tmp_path, ("a", "lung", "3", "3"))
    (tmp_path / "images" / "a.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="cannot be read as a picture"):
        read_mip_cohort(tmp_path)
    (tmp_path / "images" / "a.png").unlink()
    nib.save(nib.Nifti1Image(np.zeros((4, 5, 6), dtype=np.float32), np.eye(4)), tmp_path / "images" / "a.nii")
    with pytest.raises(InputError, match="is not one finite coronal slice"):
        read_mip_cohort(tmp_path)


def test_a_cohort_of_volumes_is_not_a_cohort_of_mips(tmp_path):
    (tmp_path / "cohort.csv").write_text("name,scan,cancer_type,x,y,z\n")
    assert not is_mip_cohort(tmp_path)
    with pytest.raises(InputError, match="is no cohort of MIPs"):
        read_mip_cohort(tmp_path)


def test_clicks_stay_on_their_lesion_in_the_frame_of_the_body(tmp_path):
    write_table(tmp_path, ("a", "lung", LESION[1], LESION[0]), ("b", "none", "", ""))
    write_png(tmp_path)
    write_png(tmp_path, "b")
    people = people_of(read_mip_cohort(tmp_path))
    ((view, row, column),), nothing = people.clicks
    assert people.types == ("lung", None) and nothing == [] and people.masks is None
    assert people.images[0, view, round(row), round(column)] > 5
    assert np.isnan(people.images[0]).any()  # the frame is larger than this scan


def test_real_mips_have_clicks_in_lesions(tmp_path):
    folder = DATA / "real_mips"
    if not folder.is_dir():
        pytest.skip("no real MIPs here")
    lines = (folder / "cohort.csv").read_text().splitlines()
    (tmp_path / "cohort.csv").write_text("\n".join(lines[:1] + lines[1:120:15] + lines[-4:]) + "\n")
    for name in ("images", "masks"):
        (tmp_path / name).symlink_to(folder / name)
    people = read_mip_cohort(tmp_path)
    ill = [person for person in people if person.cancer_type]
    assert len(people) == 12 and len(ill) == 8
    assert all(ndimage.distance_transform_edt(~person.mask)[person.click] <= 2 for person in ill)
    assert not any(person.mask.any() for person in people if person.cancer_type is None)


@pytest.mark.skipif(not (DATA / "real_mips").is_dir(), reason="real MIPs are not here")
@pytest.mark.parametrize("name", ["p014", "p038", "p099", "p118"])
def test_real_bodies_are_placed_head_up(name):
    """Their upper half was placed on the template's legs, which few people reach."""
    person = next(one for one in read_mip_cohort(DATA / "real_mips") if one.name == name)
    usual = usual_frame(person.image.pixels, person.image.spacing)
    frame = load_reference().place([person.image])[0]
    assert abs(frame.origin[0] - usual.origin[0]) < 120
