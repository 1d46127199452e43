from __future__ import annotations

import gzip
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import wslpet.method.inference.scan_cache
from tests.helpers.synthetic import ORIENTATIONS, write_scan
from wslpet.core.errors import InputError
from wslpet.core.settings import Settings
from wslpet.io.cache.disk_cache import DiskCache
from wslpet.io.readers import decoded, decoded_bytes, read_volume
from wslpet.method.inference.pipeline import find_lesions
from wslpet.method.inference.scan_cache import ScanCache
from wslpet.method.network.checkpoint import Model, new_network
from wslpet.method.projection.mip import project


@pytest.fixture
def counted(monkeypatch):
    """Names of the files that were read, in that order; reading takes a moment."""
    names = []

    def counting(path, *watching):
        names.append(path.name)
        time.sleep(0.05)
        return decoded(path, *watching)

    monkeypatch.setattr(wslpet.method.inference.scan_cache, "decoded", counting)
    return names


def same_views(one, other):
    pairs = list(zip(one, other, strict=True))
    return (
        all(np.array_equal(a.mip, b.mip) and np.array_equal(a.depth, b.depth) for a, b in pairs)
        and all(a.spacing == pytest.approx(b.spacing) and a.view == b.view for a, b in pairs)
        and np.allclose(one.affine, other.affine)
        and one.name == other.name
    )


@pytest.mark.parametrize("orientation", ["ras", "off_origin", "oblique"])
def test_what_is_kept_is_what_would_be_made_anew(tmp_path, counted, orientation):
    path = write_scan(tmp_path, "case", orientation).path
    expected = project(read_volume(path).to_ras())
    assert same_views(ScanCache(tmp_path / "kept").views(path), expected)
    counted.clear()
    again = ScanCache(tmp_path / "kept")
    assert same_views(again.views(path), expected)
    assert again.views(path) is again.views(path)
    assert counted == []


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("extension", [".nii.gz", ".nii", ".nrrd"])
def test_a_scan_that_is_inferred_is_projected_while_it_is_read(tmp_path, counted, orientation, extension):
    path = write_scan(tmp_path, "case", orientation, extension=extension).path
    expected = project(read_volume(path).to_ras())
    scans = ScanCache(tmp_path / "kept")
    with scans.checkout(path):
        assert same_views(scans.views(path), expected)
    assert counted == [path.name]
    assert same_views(ScanCache(tmp_path / "kept").views(path), expected)
    assert counted == [path.name]


def test_a_scan_that_ends_too_early_leaves_no_thread_and_no_projection(tmp_path):
    path = write_scan(tmp_path, "case", extension=".nii").path
    path.write_bytes(path.read_bytes()[:-1000])
    threads = threading.active_count()
    with pytest.raises(InputError, match="ends too early"):
        ScanCache(tmp_path / "kept").views(path)
    assert threading.active_count() <= threads
    assert not (tmp_path / "kept").exists()


def test_a_volume_is_read_once_and_cannot_be_written(tmp_path, counted):
    scan = write_scan(tmp_path, "case", "permuted")
    scans = ScanCache(None)
    volume = scans.volume(scan.path)
    assert np.array_equal(volume.array, read_volume(scan.path).array)
    assert scans.volume(scan.path) is volume
    assert counted == ["case.nii.gz"]
    with pytest.raises(ValueError, match="read-only"):
        volume.array[0, 0, 0] = 1


def test_a_look_gives_the_same_answer(tmp_path):
    path = write_scan(tmp_path, "case", "anisotropic").path
    settings = Settings()
    model = Model(new_network(settings).eval(), settings)
    scans = ScanCache(tmp_path / "kept")
    volume = scans.volume(path)
    kept, anew = find_lesions(volume, model, output=scans.network_output(path, model)), find_lesions(volume, model)
    assert scans.network_output(path, model) is scans.network_output(path, model)
    assert kept.type_probabilities == anew.type_probabilities
    assert (kept.confidence, kept.findings) == (anew.confidence, anew.findings)
    assert np.array_equal(kept.mask.array, anew.mask.array)


@pytest.mark.parametrize("extension", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_another_content_of_the_same_name_and_times_is_another_file(tmp_path, extension):
    path = write_scan(tmp_path, "case", "ras", extension=extension).path
    (tmp_path / "other").mkdir()
    other = write_scan(tmp_path / "other", "case", "ras", shift=(6, 0, 0), extension=extension).path
    scans, stat = ScanCache(tmp_path / "kept"), path.stat()
    scans.views(path)
    path.write_bytes(other.read_bytes())
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert same_views(scans.views(path), project(read_volume(other).to_ras()))


def test_one_voxel_that_changed_is_seen(tmp_path):
    path = write_scan(tmp_path, "case", "ras", extension=".nii").path
    scans, stat = ScanCache(tmp_path / "kept"), path.stat()
    scans.views(path)
    with open(path, "r+b") as file:
        file.seek(stat.st_size // 2 // 4 * 4)
        file.write(np.float32(99).tobytes())
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert scans.views(path).coronal.mip.max() == 99
    assert scans.volume(path).array.max() == 99


def test_an_image_that_is_refused_is_refused_each_time(tmp_path):
    path = tmp_path / "case.nii.gz"
    path.write_bytes(gzip.compress(b"nothing of the kind"))
    scans = ScanCache(tmp_path / "kept")
    assert decoded_bytes(path) == 0
    for _ in range(2):
        with pytest.raises(InputError, match=r"case\.nii\.gz cannot be read"):
            scans.volume(path)
    with pytest.raises(InputError, match="does not exist"):
        scans.volume(tmp_path / "gone.nii")
    assert not (tmp_path / "kept").exists()


def test_many_at_once_read_a_file_once(tmp_path, counted):
    path = write_scan(tmp_path, "case").path
    scans = ScanCache(tmp_path / "kept")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: scans.volume(path), range(8)))
    assert counted == ["case.nii.gz"]
    assert all(volume is found[0] for volume in found)


def test_projections_on_disk_are_bounded(tmp_path):
    paths = [write_scan(tmp_path, f"case{n}").path for n in range(4)]
    scans = ScanCache(tmp_path / "kept", disk_bytes=1)
    for path in paths:
        scans.views(path)
    assert len(DiskCache(tmp_path / "kept", 1)) < 2


def test_projections_that_were_damaged_on_disk_are_made_anew(tmp_path):
    path = write_scan(tmp_path, "case").path
    expected = ScanCache(tmp_path / "kept").views(path)
    for file in (tmp_path / "kept").rglob("*"):
        if file.is_file():
            file.write_bytes(b"nothing of the kind" * 1000)
    assert same_views(ScanCache(tmp_path / "kept").views(path), expected)
    assert len(DiskCache(tmp_path / "kept", 1 << 30)) == 1


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path):
    path = write_scan(tmp_path, "case").path
    (tmp_path / "kept").write_text("a file is here")
    assert ScanCache(tmp_path / "kept").views(path).coronal.mip.max() > 5


def test_many_threads_on_one_folder(tmp_path):
    paths = [write_scan(tmp_path, f"case{n}").path for n in range(3)]
    expected = [project(read_volume(path).to_ras()) for path in paths]
    kept = [ScanCache(tmp_path / "kept", disk_bytes=1) for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        jobs = [(n, pool.submit(scans.views, paths[n])) for scans in kept for n in range(3)]
        assert all(same_views(job.result(), expected[n]) for n, job in jobs)


def never_waits(scans, monkeypatch):
    """A wait fails at once, where it would be for ever."""
    changed = scans._volumes._changed
    monkeypatch.setattr(changed, "wait", lambda *_: pytest.fail("it waits for what only itself can give"))


def test_a_scan_that_is_replaced_while_in_use_is_read_again(tmp_path, monkeypatch):
    path = write_scan(tmp_path, "case").path
    scans = ScanCache(None, memory_bytes=decoded_bytes(path))
    never_waits(scans, monkeypatch)
    with scans.checkout(path) as before:
        write_scan(tmp_path, "another", shift=(9, 9, 9)).path.replace(path)
        with scans.checkout(path) as after:
            assert not np.array_equal(before.array, after.array)
        assert scans.views(path).coronal.mip.max() == pytest.approx(after.array.max())
