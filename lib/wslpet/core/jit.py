"""Loops over voxels as machine code, made when first called and kept on disk for the next process."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from numba import njit

# Python's lock is free while such a loop runs; dividing by zero gives what numpy gives.
_njit: Callable[..., Any] = partial(njit, nogil=True, error_model="numpy")


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function by numba, for arrays and numbers."""
    dispatcher: Callable[..., Any]
    try:
        dispatcher = _njit(cache=True)(function)
    except RuntimeError:  # nowhere to keep it: neither beside the source nor in the user's cache
        dispatcher = _njit()(function)
    return dispatcher
