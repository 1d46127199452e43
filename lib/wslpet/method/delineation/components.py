"""Sets of voxels, (x, y, z) bool with z fastest: growth, parts and surface. Voxels touch by their faces."""

from __future__ import annotations

import numpy as np

from wslpet.core.jit import compiled


def dilated(inside: np.ndarray, times: int) -> np.ndarray:
    """The set and what is within so many steps of it."""
    # Flat, a step along any axis is one of so many voxels; the border keeps it from reaching around the end of a line.
    middle = tuple(slice(times, times + n) for n in inside.shape)
    padded = np.zeros([n + 2 * times for n in inside.shape], dtype=bool)
    padded[middle] = inside
    flat = padded.ravel()
    for _ in range(times):
        grown = flat.copy()
        for step in (1, padded.shape[2], padded.shape[1] * padded.shape[2]):
            grown[step:] |= flat[:-step]
            grown[:-step] |= flat[step:]
        flat = grown
    return flat.reshape(padded.shape)[middle]


@compiled
def largest_part(region: np.ndarray) -> tuple[np.ndarray, tuple[int, int, int]]:
    """The largest connected part, of equal ones the first, without holes: space in it that does not reach its box.

    Parameters
    ----------
    region : (x, y, z) bool, at least one set.

    Returns
    -------
    (x, y, z) bool in the part's extent and one voxel more at each end where the region has it; where that begins.
    """
    nx, ny, nz = region.shape
    rows, starts, stops, parts = _runs(region, True)
    sizes = np.zeros(len(parts), dtype=np.int64)
    for i in range(len(parts)):
        sizes[parts[i]] += stops[i] - starts[i]
    largest = 0
    for i in range(len(parts)):
        if sizes[i] > sizes[largest]:
            largest = i
    x0, x1, y0, y1, z0, z1 = nx, 0, ny, 0, nz, 0
    for i in range(len(parts)):
        if parts[i] == largest:
            x, y = rows[i] // ny, rows[i] % ny
            x0, x1, y0, y1 = min(x0, x), max(x1, x + 1), min(y0, y), max(y1, y + 1)
            z0, z1 = min(z0, starts[i]), max(z1, stops[i])
    x0, y0, z0 = max(x0 - 1, 0), max(y0 - 1, 0), max(z0 - 1, 0)
    inside = np.zeros((min(x1 + 1, nx) - x0, min(y1 + 1, ny) - y0, min(z1 + 1, nz) - z0), dtype=np.bool_)
    for i in range(len(parts)):
        if parts[i] == largest:
            for z in range(starts[i], stops[i]):
                inside[rows[i] // ny - x0, rows[i] % ny - y0, z - z0] = True
    _fill(inside)
    return inside, (x0, y0, z0)


@compiled
def _fill(inside: np.ndarray) -> None:
    nx, ny, nz = inside.shape
    rows, starts, stops, spaces = _runs(inside, False)
    outer = np.zeros(len(spaces), dtype=np.bool_)
    for i in range(len(spaces)):
        x, y = rows[i] // ny, rows[i] % ny
        if x == 0 or x == nx - 1 or y == 0 or y == ny - 1 or starts[i] == 0 or stops[i] == nz:
            outer[spaces[i]] = True
    for i in range(len(spaces)):
        if not outer[spaces[i]]:
            for z in range(starts[i], stops[i]):
                inside[rows[i] // ny, rows[i] % ny, z] = True


@compiled
def _runs(inside: np.ndarray, value: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Runs along z of voxels that are `value`: x · ny + y, start, stop, and the first run of the part, of each."""
    nx, ny, nz = inside.shape
    most = nx * ny * ((nz + 1) // 2)
    runs = np.empty((4, most), dtype=np.int32)
    rows, starts, stops, parts = runs[0], runs[1], runs[2], runs[3]
    first = np.zeros(nx * ny + 1, dtype=np.int32)
    n = 0
    for x in range(nx):
        for y in range(ny):
            line, here = inside[x, y], x * ny + y
            z = 0
            while z < nz:
                if line[z] != value:
                    z += 1
                    continue
                rows[n], starts[n], parts[n] = here, z, n
                while z < nz and line[z] == value:
                    z += 1
                stops[n] = z
                n += 1
            first[here + 1] = n
            if y > 0:
                _join(parts, starts, stops, first[here], n, first[here - 1], first[here])
            if x > 0:
                _join(parts, starts, stops, first[here], n, first[here - ny], first[here - ny + 1])
    for i in range(n):
        parts[i] = parts[parts[i]]  # no run's part begins after it
    return rows[:n], starts[:n], stops[:n], parts[:n]


@compiled
def _join(
    parts: np.ndarray, starts: np.ndarray, stops: np.ndarray, one: int, one_end: int, other: int, other_end: int
) -> None:
    """Make one part of the runs of two rows that overlap."""
    while one < one_end and other < other_end:
        if starts[one] < stops[other] and starts[other] < stops[one]:
            a, b = one, other
            while parts[a] != a:
                a = parts[a]
            while parts[b] != b:
                b = parts[b]
            parts[max(a, b)] = min(a, b)
        if stops[one] < stops[other]:
            one += 1
        else:
            other += 1


@compiled
def surface(inside: np.ndarray) -> np.ndarray:
    """Which voxels touch one that is not as they are; beyond the array there is none.

    Returns
    -------
    (x + 2, y + 2, z + 2) uint8, not 0 where so; what its border holds says nothing.
    """
    nx, ny, nz = inside.shape
    cells = np.empty((nx + 2, ny + 2, nz + 2), dtype=np.uint8)
    for x in range(nx + 2):
        for y in range(ny + 2):
            for z in range(nz + 2):
                own = inside[min(max(x - 1, 0), nx - 1), min(max(y - 1, 0), ny - 1), min(max(z - 1, 0), nz - 1)]
                cells[x, y, z] = own
    line, plane = nz + 2, (ny + 2) * (nz + 2)
    first = plane + line + 1
    n = cells.size - 2 * first
    touches = np.empty((nx + 2, ny + 2, nz + 2), dtype=np.uint8)
    flat = cells.ravel()
    _differing(
        touches.ravel()[first : first + n],
        flat[first : first + n],
        flat[first - 1 : first - 1 + n],
        flat[first + 1 : first + 1 + n],
        flat[first - line : first - line + n],
        flat[first + line : first + line + n],
        flat[first - plane : first - plane + n],
        flat[first + plane : first + plane + n],
    )
    return touches


@compiled
def _differing(
    out: np.ndarray,
    own: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    c: np.ndarray,
    d: np.ndarray,
    e: np.ndarray,
    f: np.ndarray,
) -> None:
    for i in range(out.size):
        out[i] = (
            (own[i] ^ a[i]) | (own[i] ^ b[i]) | (own[i] ^ c[i]) | (own[i] ^ d[i]) | (own[i] ^ e[i]) | (own[i] ^ f[i])
        )
