"""Just-in-time compilation of loops over voxels with numba; compiled code is cached on disk."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from numba import njit

# Compiled loops release the GIL. Division by zero gives inf or nan, as in numpy.
_njit: Callable[..., Any] = partial(njit, nogil=True, error_model="numpy")


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: compile a function of arrays and numbers with numba at its first call."""
    dispatcher: Callable[..., Any]
    try:
        dispatcher = _njit(cache=True)(function)
    except RuntimeError:  # no writable cache, neither beside the source nor in the user's cache folder
        dispatcher = _njit()(function)
    return dispatcher
