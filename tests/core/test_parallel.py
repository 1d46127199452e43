from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from wslpet.core.errors import InputError
from wslpet.core.parallel import over


def halved(number: int) -> int:
    """The first is done last."""
    if number == 0:
        time.sleep(0.5)
    if number == 6:
        os._exit(1)
    if number == 8:
        raise ZeroDivisionError("8 is a mistake")
    if number % 2:
        raise InputError(f"{number} is odd")
    return number // 2


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_results_and_errors_are_yielded_in_the_order_of_the_items(workers):
    answers = list(over(halved, [0, 2, 3, 8, 4], workers))
    told = [answer if isinstance(answer, int) else str(answer) for answer in answers]
    assert told[:3] == [0, 1, "3 is odd"] and told[4:] == [2]
    assert told[3].startswith("8: ZeroDivisionError: 8 is a mistake")
    assert all(isinstance(answer, int | InputError) for answer in answers)


@pytest.mark.slow
def test_at_most_twice_as_many_items_as_workers_are_dispatched(tmp_path):
    taken = []

    class Items(list):
        def __iter__(self):
            for item in super().__iter__():
                taken.append(item)
                yield item

    answers = over(waits, Items([tmp_path / "go"] * 50), 2)
    asking = threading.Thread(target=lambda: taken.append(next(answers)))
    asking.start()
    asking.join(5)
    assert len(taken) <= 6 and asking.is_alive()
    (tmp_path / "go").touch()
    asking.join(60)
    assert sum(1 for _ in answers) == 49


def waits(path):
    while not path.exists():
        time.sleep(0.05)


INTERRUPTED = """
import os, signal, time
from wslpet.core.parallel import over
def slow(number):
    os.write(1, b"begun\\n")  # in one piece: the other process writes, too
    time.sleep(60)
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in a shell's background ignores it
    list(over(slow, range(8), 2))
"""


@pytest.mark.slow
def test_an_interrupt_ends_it_and_its_processes(tmp_path):
    (tmp_path / "batch.py").write_text(INTERRUPTED)
    batch = subprocess.Popen(
        [sys.executable, tmp_path / "batch.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert batch.stdout.readline() == b"begun\n"
    workers = psutil.Process(batch.pid).children(recursive=True)
    os.killpg(batch.pid, signal.SIGINT)
    assert batch.wait(30) != 0
    assert psutil.wait_procs(workers, timeout=30)[1] == []
    batch.stdout.close()


@pytest.mark.slow
def test_a_dask_cluster_takes_the_same_work():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0"
    ) as cluster:
        answers = list(over(halved, [0, 2, 3, 8, 4], scheduler=cluster.scheduler_address))
    assert [answer for answer in answers if isinstance(answer, int)] == [0, 1, 2]
    assert [str(answer)[:6] for answer in answers if isinstance(answer, InputError)] == ["3 is o", "8: Zer"]


@pytest.mark.slow
def test_a_dask_scheduler_that_does_not_answer_is_an_input_error():
    with pytest.raises(InputError, match="does not answer"):
        list(over(halved, [2], scheduler="tcp://127.0.0.1:9"))


def test_no_items_give_no_results():
    assert list(over(halved, [], 4)) == []


@pytest.mark.slow
def test_a_process_that_dies_is_an_input_error():
    with pytest.raises(InputError, match=r"a process died, .* fewer --workers"):
        list(over(halved, [0, 6], 2))


def test_fewer_than_one_worker_is_refused():
    with pytest.raises(InputError, match="--workers 0"):
        over(halved, [2], 0)
