"""How OpenMP's threads wait for each other: asleep, so that others have the processor meanwhile."""

from __future__ import annotations

import os


def wait_asleep() -> None:
    """For this process where torch is not loaded yet, and for those that it starts; a setting that is there stays.

    By default a thread that waits spins, in the hope that it is not for long. Beside other work, the one that it waits
    for may not be running then, and the processor's time is spun away. Measured on two cores with about seventeen other
    processes at work, 12 patients, 10 epochs, in turn: 183 to 235 s (44 s of processor time) spinning, 23 and 40 s
    (10 s) asleep, 31 and 47 s (8 s) with one thread only.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
