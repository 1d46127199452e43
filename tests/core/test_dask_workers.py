"""Cohorts on two Dask workers, processes, one of which is killed half-way."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from benchmarks.common.dask_cluster import cluster, start_worker
from benchmarks.speed.cohort import measure
from tests.helpers.synthetic import write_scan
from wslpet.core import parallel
from wslpet.core.errors import InputError
from wslpet.core.parallel import over

SCANS, BAD, SECONDS, SOME = 40, 17, 0.05, 6
# Scans while a worker starts, which takes seconds, and their length, s.
MANY, WHILE_ALONE = 600, 0.2


def worked(item: tuple[str, str]) -> str:
    """Take a while, say in the scan's file which process did it, or refuse the scan."""
    name, folder = item
    time.sleep(SECONDS)
    if name == f"scan-{BAD:03d}":
        raise InputError(f"{name}: not a PET scan; give another")
    with open(Path(folder) / name, "a", encoding="utf-8") as file:
        file.write(f"{os.getpid()}\n")
    return name


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_no_scan(tmp_path):
    pytest.importorskip("distributed")
    out = tmp_path / "out"
    out.mkdir()
    names = [f"scan-{n:03d}" for n in range(SCANS)]
    with cluster(tmp_path, 2) as (address, workers):

        def kill_half_way() -> None:
            while len(list(out.iterdir())) < SCANS // 2:
                time.sleep(0.01)
            workers[0].send_signal(signal.SIGKILL)

        killer = threading.Thread(target=kill_half_way, daemon=True)
        killer.start()
        answers = list(over(worked, [(name, str(out)) for name in names], scheduler=address))
        killer.join(timeout=60)
    assert [str(answer)[:8] for answer in answers] == names
    assert [n for n, answer in enumerate(answers) if isinstance(answer, InputError)] == [BAD]
    done_by = {path.name: path.read_text(encoding="utf-8").split() for path in out.iterdir()}
    assert sorted(done_by) == [name for name in names if name != names[BAD]]
    # The killed worker finished some, the other one the rest; only answers that lay in its memory are computed again.
    assert len({pid for pids in done_by.values() for pid in pids}) == 2
    assert sum(len(pids) - 1 for pids in done_by.values()) <= 4


def fatal(item: tuple[str, Path]) -> int:
    """Say which process did it; the scan `fatal` ends its worker when the others are done."""
    name, folder = item
    if name == "fatal":
        while len(list(folder.iterdir())) < SOME:
            time.sleep(0.01)
        time.sleep(1)  # until their answers have been fetched: what lies in a worker's memory dies with it
        os._exit(1)
    (folder / name).touch()
    return os.getpid()


@pytest.mark.slow
def test_a_scan_that_kills_its_workers_is_an_error_and_one_worker_is_not_this_process(tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "0")
    done = tmp_path / "done"
    done.mkdir()
    names = [*(f"scan-{n}" for n in range(SOME)), "fatal"]
    with cluster(tmp_path, 1) as (address, [worker]):
        *pids, error = over(fatal, [(name, done) for name in names], scheduler=address)
        with pytest.raises(InputError, match="has no worker after 10 s; start some with `dask worker tcp://"):
            next(over(fatal, [("scan-0", done)], scheduler=address))
    assert set(pids) == {worker.pid} and len(pids) == SOME
    assert str(error) == "fatal: the workers that had it died, as when memory runs out"


@pytest.mark.slow
def test_the_loss_of_the_last_worker_is_an_error(tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(parallel, "DASK_SECONDS", 2)
    out = tmp_path / "out"
    out.mkdir()
    with cluster(tmp_path, 1) as (address, [worker]):
        answers = over(worked, [(f"scan-{n}", str(out)) for n in range(SCANS)], scheduler=address)
        assert next(answers) == "scan-0"
        worker.send_signal(signal.SIGKILL)
        with pytest.raises(InputError, match="has no worker after 2 s"):
            list(answers)


@pytest.mark.slow
def test_the_loss_of_the_last_worker_with_a_result_that_was_not_fetched_is_an_error(tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(parallel, "DASK_SECONDS", 2)
    with cluster(tmp_path, 1) as (address, [worker]), distributed.Client(address, set_as_default=False) as client:
        future = client.submit(os.getpid)
        while not future.done():
            time.sleep(0.01)
        worker.kill()
        with pytest.raises(InputError, match="has no worker after 2 s"):
            parallel._result(client, future, "scan-0", address)


def takes_time_while_alone(item: tuple[str, Path]) -> tuple[str, int]:
    """Say which process did it; quick once two processes have begun a scan."""
    name, folder = item
    (folder / str(os.getpid())).touch()
    if len(list(folder.iterdir())) < 2:
        time.sleep(WHILE_ALONE)
    return name, os.getpid()


@pytest.mark.slow
def test_a_worker_that_joins_later_gets_scans_and_goes_on_alone_when_the_first_dies(tmp_path):
    pytest.importorskip("distributed")
    begun = tmp_path / "begun"
    begun.mkdir()
    names = [f"scan-{n:03d}" for n in range(MANY)]
    with cluster(tmp_path, 1) as (address, workers):
        answers = over(takes_time_while_alone, [(name, begun) for name in names], scheduler=address)
        seen = [next(answers)]
        workers.append(start_worker(tmp_path))
        for answer in answers:
            seen.append(answer)
            if answer[1] == workers[1].pid:
                workers[0].kill()
    assert [name for name, _ in seen] == names
    assert seen[0][1] == workers[0].pid and seen[-1][1] == workers[1].pid
    assert {pid for _, pid in seen} == {worker.pid for worker in workers}


@pytest.mark.slow
def test_segment_on_dask_loses_nothing_and_does_nothing_twice(tmp_path):
    pytest.importorskip("distributed")
    (tmp_path / "scans").mkdir()
    scans = {f"scan-{n}": write_scan(tmp_path / "scans", f"scan-{n}", shift=(0, 2 * n, 0)).path for n in range(11)}
    scans["bad"] = tmp_path / "scans" / "bad.nii.gz"
    scans["bad"].write_bytes(b"no scan")
    run = measure(scans, tmp_path / "out", 2, kill=True)
    assert (run.killed, run.masks, run.twice, sum(run.by_worker)) == (True, 11, 0, 11)
    assert [reason.split(" (")[0] for reason in run.failed] == ["image bad.nii.gz cannot be read as NIfTI"]
    assert len(list((tmp_path / "out").glob("*.json"))) == 11
