"""Types of arrays. Shapes, axes and units are in the docstrings of the functions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# An array of any dtype: stored voxels, or a function that accepts several dtypes.
Array = NDArray[Any]
BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.floating[Any]]
