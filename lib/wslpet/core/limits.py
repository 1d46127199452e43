"""Limits of size and SUV, beyond which a file is damaged, crafted or not in SUV; number of processors."""

import os

# Number of processors that this process may use.
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

# Largest image that is decoded, voxels: twice the largest clinical PET.
MAX_VOXELS = 250_000_000
# Highest SUV; a higher maximum is in Bq/ml or the result of a wrong rescale.
MAX_SUV = 10_000.0
# Largest file that is accepted: an uncompressed image of MAX_VOXELS in double precision.
MAX_UPLOAD_BYTES = 8 * MAX_VOXELS + (1 << 20)
# Largest request of any other kind; a thousand clicks are a tenth of it.
MAX_REQUEST_BYTES = 4 << 20
