"""Numba compilation of loops over voxels, cached on disk."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from numba import njit

# Loops release the GIL; division by zero follows numpy.
_njit: Callable[..., Any] = partial(njit, nogil=True, error_model="numpy")


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function of arrays and numbers with numba, at its first call."""
    dispatcher: Callable[..., Any]
    try:
        dispatcher = _njit(cache=True)(function)
    except RuntimeError:  # no writable cache, neither beside the source nor in the user's cache folder
        dispatcher = _njit()(function)
    return dispatcher
