"""Passive waiting of OpenMP threads."""

from __future__ import annotations

import os


def wait_asleep() -> None:
    """Set OMP_WAIT_POLICY=PASSIVE, unless it is set: for this process, if torch is not loaded yet, and its children.

    By default, a waiting OpenMP thread spins. Beside other work, the thread it waits for may not be scheduled, and the
    processor time is wasted. Measured on two cores with about seventeen other
    processes at work, 12 patients, 10 epochs, in turn: 183 to 235 s (44 s of processor time) spinning, 23 and 40 s
    (10 s) asleep, 31 and 47 s (8 s) with one thread only.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
