from __future__ import annotations

import operator
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest
from blobs import empty, scan

from lib.lesions import lesion_at
from lib.workers import ROOT, apart, dismiss, employ

WORKING = """
import os
from lib.workers import apart, employ
employ(2)
print(apart(os.getpid), flush=True)
{end}
"""


@pytest.fixture
def workers():
    employ(2)
    yield
    dismiss()


def test_without_workers_it_is_done_here():
    assert apart(os.getpid) == os.getpid()


def test_with_workers_it_is_done_elsewhere(workers):
    assert apart(os.getpid) != os.getpid()
    assert apart(operator.truediv, 7, 2) == 3.5
    dismiss()
    assert apart(os.getpid) == os.getpid()


def test_what_it_raises_and_prints_does_no_harm(workers):
    for _ in range(4):
        with pytest.raises(ZeroDivisionError):
            apart(operator.truediv, 7, 0)
        apart(print, "said by a worker")
        assert apart(operator.add, 1, 2) == 3


def test_each_caller_has_its_own_answer(workers):
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda n: apart(operator.mul, n, n), range(200))) == [n * n for n in range(200)]


def test_work_is_done_here_when_its_process_dies_and_there_is_another_for_the_next(workers):
    gone = apart(os.getpid)
    os.kill(gone, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(gone)] if psutil.pid_exists(gone) else [], timeout=5)
    found = [apart(os.getpid) for _ in range(2)]
    assert found[0] == os.getpid() and found[1] not in (gone, os.getpid())


def test_an_answer_that_cannot_be_read_is_not_the_next_callers(workers, monkeypatch):
    # Raises an error of a module that only the process that raised it has.
    raising = """
import sys, types
module = sys.modules["hidden"] = types.ModuleType("hidden")
module.Error = type("Error", (Exception,), {"__module__": "hidden"})
raise module.Error("of a hidden module")
"""
    for _ in range(3):
        with pytest.raises(Exception, match="of a hidden module"):
            apart(exec, raising)
        monkeypatch.delitem(sys.modules, "hidden")
        assert [apart(operator.add, n, 2) for n in range(3)] == [2, 3, 4]


def test_a_lesion_is_the_same(workers):
    volume = empty((60, 40, 60))
    index = np.array([38.0, 15.0, 33.0])
    tumour = scan(volume, [(volume.to_world(index), (16, 16, 20), 9.0)])
    there = lesion_at(tumour, index)
    dismiss()
    here = lesion_at(tumour, index)
    assert there.start == here.start and np.array_equal(there.inside, here.inside)
    assert np.array_equal(there.features, here.features)


@pytest.mark.parametrize("end", ["", "os.kill(os.getpid(), 9)"])
def test_they_end_with_the_process_that_they_work_for(end):
    done = subprocess.run([sys.executable, "-c", WORKING.format(end=end)], capture_output=True, text=True, cwd=ROOT)
    worker = int(done.stdout)
    deadline = time.monotonic() + 20
    while psutil.pid_exists(worker) and psutil.Process(worker).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)
