"""Number of processors, and limits of file size and SUV. A file beyond a limit is damaged, malicious or not in SUV."""

import os

# Number of processors that this process may use.
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

# Largest number of voxels of an image that is read: twice that of the largest clinical PET.
MAX_VOXELS = 250_000_000
# Highest SUV. An image with a higher maximum is in Bq/ml, or was rescaled with a wrong slope.
MAX_SUV = 10_000.0
# Largest upload: an uncompressed image of MAX_VOXELS in double precision, and 1 MiB for the header.
MAX_UPLOAD_BYTES = 8 * MAX_VOXELS + (1 << 20)
# Largest body of any other request. A request with a thousand clicks has a tenth of this size.
MAX_REQUEST_BYTES = 4 << 20
