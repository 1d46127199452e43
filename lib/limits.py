"""The largest image and the highest SUV: beyond, a file is damaged, crafted or not in SUV. And the computer."""

import os

# Processors that this process may use.
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

# The largest image that is decoded, voxels: twice the largest clinical PET.
MAX_VOXELS = 250_000_000
# A maximum beyond this is Bq/ml or a broken rescale, not SUV.
MAX_SUV = 10_000.0
