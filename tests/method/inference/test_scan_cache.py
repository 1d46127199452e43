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
from wslpet.core.errors import BusyError, InputError
from wslpet.core.settings import Settings
from wslpet.io.readers import decoded, decoded_bytes, read_volume
from wslpet.method.inference.pipeline import find_lesions
from wslpet.method.inference.scan_cache import ScanCache, _Entry, fingerprint
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


def test_a_file_that_is_what_it_was_is_not_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr("wslpet.method.inference.scan_cache._SETTLED_NS", 0)
    path = write_scan(tmp_path, "case").path
    time.sleep(0.05)  # beyond the tick of the disk's clock
    before = fingerprint(path)
    with monkeypatch.context() as patched:
        patched.setattr("wslpet.method.inference.scan_cache._digest", lambda path: pytest.fail("it was read"))
        assert fingerprint(path) == before
    content, stat = bytearray(path.read_bytes()), path.stat()
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert fingerprint(path) != before


def test_a_file_that_changed_just_now_is_read_again(tmp_path, monkeypatch):
    path = write_scan(tmp_path, "case").path
    fingerprint(path)
    monkeypatch.setattr("wslpet.method.inference.scan_cache._digest", lambda path: "it was read")
    assert fingerprint(path) == "it was read"


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


def test_memory_is_bounded_whoever_exceeds_it_waits(tmp_path, counted):
    paths = [write_scan(tmp_path, f"case{n}").path for n in range(5)]
    size = decoded_bytes(paths[0])
    assert size == read_volume(paths[0]).array.nbytes
    scans = ScanCache(None, memory_bytes=2 * size)
    most, held, guard = 0, [], threading.Lock()

    def use(path):
        nonlocal most
        with scans.checkout(path):
            with guard:
                held.append(path)
                most = max(most, len(set(held)))
            time.sleep(0.02)
            with guard:
                held.remove(path)

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(use, paths * 3))
    assert most == 2
    assert scans._total() <= 2 * size


def test_a_volume_beyond_the_bound_is_read_alone(tmp_path):
    path = write_scan(tmp_path, "case").path
    scans = ScanCache(None, memory_bytes=1)
    with scans.checkout(path) as volume:
        assert volume.array.size


def test_the_volume_used_least_recently_goes(tmp_path, counted):
    one, two, three = (write_scan(tmp_path, name).path for name in ("one", "two", "three"))
    scans = ScanCache(None, memory_bytes=2 * decoded_bytes(one))
    for path in (one, two, one, three, one, two):
        scans.volume(path)
    assert counted == ["one.nii.gz", "two.nii.gz", "three.nii.gz", "two.nii.gz"]


def test_the_folder_is_bounded(tmp_path):
    paths = [write_scan(tmp_path, f"case{n}").path for n in range(4)]
    kept = tmp_path / "kept"
    ScanCache(kept).views(paths[0])
    (first,) = kept.iterdir()
    scans = ScanCache(kept, disk_bytes=2 * first.stat().st_size)
    for path in paths:
        scans.views(path)
    names = {file.name for file in kept.iterdir()}
    assert names == {f"{fingerprint(path)}.npz" for path in paths[2:]}


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a whole file"])
def test_a_damaged_file_is_made_anew(tmp_path, content):
    path = write_scan(tmp_path, "case").path
    expected = ScanCache(tmp_path / "kept").views(path)
    (file,) = (tmp_path / "kept").iterdir()
    file.write_bytes(content)
    assert same_views(ScanCache(tmp_path / "kept").views(path), expected)
    assert len(file.read_bytes()) > len(content)


def test_a_bit_that_flipped_is_seen(tmp_path):
    path = write_scan(tmp_path, "case").path
    expected = ScanCache(tmp_path / "kept").views(path)
    (file,) = (tmp_path / "kept").iterdir()
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 1
    file.write_bytes(content)
    assert same_views(ScanCache(tmp_path / "kept").views(path), expected)


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
    monkeypatch.setattr(scans._changed, "wait", lambda *_: pytest.fail("it waits for what only itself can give"))


def test_a_scan_that_is_replaced_while_in_use_is_read_again(tmp_path, monkeypatch):
    path = write_scan(tmp_path, "case").path
    scans = ScanCache(None, memory_bytes=decoded_bytes(path))
    never_waits(scans, monkeypatch)
    with scans.checkout(path) as before:
        write_scan(tmp_path, "another", shift=(9, 9, 9)).path.replace(path)
        with scans.checkout(path) as after:
            assert not np.array_equal(before.array, after.array)
        assert scans.views(path).coronal.mip.max() == pytest.approx(after.array.max())


def test_a_thread_that_holds_one_scan_is_given_another(tmp_path, monkeypatch):
    paths = [write_scan(tmp_path, name).path for name in ("one", "two", "three", "four")]
    scans = ScanCache(None, memory_bytes=decoded_bytes(paths[0]))
    never_waits(scans, monkeypatch)
    with scans.checkout(paths[0]), scans.checkout(paths[1]), scans.checkout(paths[2]):
        pass
    with pytest.raises(InputError, match="does not exist"), scans.checkout(tmp_path / "none.nii.gz"):
        pass
    scans.volume(paths[3])
    assert len(scans._volumes) == 1


@pytest.mark.parametrize("same", [True, False])
def test_whoever_waits_too_long_is_told_why(tmp_path, same):
    held, asked = (write_scan(tmp_path, name).path for name in ("held", "asked"))
    scans = ScanCache(None, memory_bytes=decoded_bytes(held), wait_seconds=0.0)
    if same:  # another thread reads it, and does not come to an end
        scans._volumes[fingerprint(asked)] = _Entry(decoded_bytes(asked))
    else:
        scans._volumes[fingerprint(held)] = _Entry(decoded_bytes(held), read_volume(held))
    with pytest.raises(BusyError, match="another request reads it" if same else "others fill the memory"):
        scans.volume(asked)


def test_a_wait_is_told_in_the_log(tmp_path, caplog, monkeypatch):
    held, asked = (write_scan(tmp_path, name).path for name in ("held", "asked"))
    scans = ScanCache(None, memory_bytes=decoded_bytes(held))
    entry = scans._volumes[fingerprint(held)] = _Entry(decoded_bytes(held), read_volume(held))

    def wait(seconds):  # time passes, and the other is done after that
        assert 0 < seconds < 60
        entry.users = 0
        return False

    monkeypatch.setattr(scans._changed, "wait", wait)
    assert scans.volume(asked).array.max() > 5
    assert "image asked.nii.gz waits: others fill the memory" in caplog.text
