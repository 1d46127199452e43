"""The largest image and the highest SUV: beyond, a file is damaged, crafted or not in SUV. And the computer."""

import os

# Processors that this process may use.
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

# The largest image that is decoded, voxels: twice the largest clinical PET.
MAX_VOXELS = 250_000_000
# A maximum beyond this is Bq/ml or a broken rescale, not SUV.
MAX_SUV = 10_000.0
# The largest file that is taken in: an uncompressed image of MAX_VOXELS in double precision.
MAX_UPLOAD_BYTES = 8 * MAX_VOXELS + (1 << 20)
# The largest request of any other kind: a thousand clicks are a tenth of it.
MAX_REQUEST_BYTES = 4 << 20
