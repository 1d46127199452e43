from __future__ import annotations

import os
import time

import pytest

from wslpet.core.errors import InputError
from wslpet.core.parallel import over


def halved(number: int) -> int:
    """The first is done last."""
    if number == 0:
        time.sleep(0.5)
    if number == 6:
        os._exit(1)
    if number % 2:
        raise InputError(f"{number} is odd")
    return number // 2


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_answers_and_refusals_come_in_order(workers):
    answers = list(over(halved, [0, 2, 3, 4], workers))
    assert [answer if isinstance(answer, int) else str(answer) for answer in answers] == [0, 1, "3 is odd", 2]


def test_nothing_to_do():
    assert list(over(halved, [], 4)) == []


@pytest.mark.slow
def test_a_process_that_dies_is_told():
    with pytest.raises(InputError, match=r"a process died, .* fewer --workers"):
        list(over(halved, [0, 6], 2))


def test_workers_are_one_or_more():
    with pytest.raises(InputError, match="--workers 0"):
        over(halved, [2], 0)
