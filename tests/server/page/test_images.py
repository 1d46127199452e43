"""What the page shows of a scan: MIPs, slices, unusual uptake."""

import base64

import numpy as np
import pytest

from tests.helpers.synthetic import ORIENTATIONS
from wslpet.io.readers import read_volume
from wslpet.method.normal.atlas import Atlas, save_atlas
from wslpet.method.normal.reference import load_reference
from wslpet.method.normal.unusual import unusual_uptake
from wslpet.method.projection.mip import project
from wslpet.server.tasks.normal_uptake import FILE


def numbers(answer, *shapes):
    found, flat = [], np.frombuffer(answer.content, "<u2")
    for shape in shapes:
        found.append(flat[: np.prod(shape)].reshape(shape))
        flat = flat[np.prod(shape) :]
    assert not flat.size
    return found


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_mips_and_slices_are_those_of_the_scan_in_ras(scans, ask, name):
    ras = read_volume(scans[name].path).to_ras()
    patient = ask(f"images/{name}").json()
    assert tuple(patient["shape"]) == ras.shape
    np.testing.assert_allclose(patient["affine"], ras.affine)
    x, y, z = ras.shape
    coronal, coronal_depth, sagittal, sagittal_depth = numbers(
        ask(f"images/{name}/mips"), (x, z), (x, z), (y, z), (y, z)
    )
    step = patient["suv_step"]
    for view, mip, depth in zip(project(ras), (coronal, sagittal), (coronal_depth, sagittal_depth), strict=True):
        np.testing.assert_allclose(mip * step, view.mip, atol=step)
        np.testing.assert_array_equal(depth, view.depth)
    (slice_,) = numbers(ask(f"images/{name}/slices/axial/{z // 3}"), (x, y))
    np.testing.assert_allclose(slice_ * step, ras.array[:, :, z // 3], atol=step)


@pytest.mark.parametrize("name", ["anisotropic", "oblique"])
def test_the_turned_mip_at_a_right_angle_is_the_sagittal_one(scans, ask, name):
    ras = read_volume(scans[name].path).to_ras()
    flat = np.frombuffer(ask(f"images/{name}/mips/90").content, "<u2").reshape(3, -1, ras.shape[2])
    mip, xs, ys = flat
    seen = mip > 0
    step = ask(f"images/{name}").json()["suv_step"]
    values = ras.array[xs, ys, np.broadcast_to(np.arange(ras.shape[2]), xs.shape)]
    np.testing.assert_allclose(mip[seen] * step, values[seen], atol=step)
    _, sagittal = project(ras)
    np.testing.assert_allclose(mip.max(axis=0) * step, sagittal.mip.max(axis=0), atol=step)


@pytest.mark.parametrize("of_site", [False, True])
def test_unusual_uptake_is_above_that_of_phantoms_or_of_the_site(scans, server, ask, of_site):
    shipped, file = load_reference(), server.studies / ".wslpet" / FILE
    if of_site:  # where everything is usual
        save_atlas(Atlas(np.full_like(shipped.atlas.quantiles, 1e3), 12), file)
    try:
        found = ask("images/anisotropic/unusual").json()
    finally:
        file.unlink(missing_ok=True)
    assert (found["people"], found["of_site"]) == (12 if of_site else shipped.atlas.people, of_site)
    ras = read_volume(scans["anisotropic"].path).to_ras()
    expected = unusual_uptake(project(ras))
    for view, values in expected.items():
        cells = np.frombuffer(base64.b64decode(found["maps"][view]["cells"]), np.uint8).reshape(values.shape)
        assert not cells.any() if of_site else (cells > 0).sum() == (values > 1 / 510).sum() > 0
