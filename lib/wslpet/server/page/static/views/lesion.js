// A lesion's voxels as the server sends them, and its outline in any view.

export function decoded({ start, shape, bits }) {
  const packed = Uint8Array.from(atob(bits), (c) => c.charCodeAt(0));
  const inside = new Uint8Array(shape[0] * shape[1] * shape[2]);
  for (let i = 0; i < inside.length; i++) inside[i] = (packed[i >> 3] >> (7 - (i & 7))) & 1;
  return { start, shape, inside };
}

// The lesion seen along a ray axis (0 or 1), as loops of [u, z] in voxels from the volume's edge.
export function silhouette(lesion, ray) {
  const { start, shape } = lesion, u = 1 - ray, surface = surfaceOf(lesion);
  const seen = new Uint8Array(shape[u] * shape[2]);
  for (let i = 0; i < surface.length; i += 3) seen[surface[i + u] * shape[2] + surface[i + 2]] = 1;
  return moved(loops(seen, shape[u], shape[2]), start[u], start[2]);
}

// As `silhouette`, from a side: across gives the u of an edge position (x, y), size is the view's (u, z).
export function shadow(lesion, across, [nu]) {
  const { start, shape } = lesion, surface = surfaceOf(lesion);
  const seen = new Uint8Array(nu * shape[2]);
  for (let i = 0; i < surface.length; i += 3) {
    const u = across(surface[i] + start[0] + 0.5, surface[i + 1] + start[1] + 0.5);
    for (const at of [Math.floor(u - 0.5), Math.floor(u + 0.5)]) if (at >= 0 && at < nu) seen[at * shape[2] + surface[i + 2]] = 1;
  }
  return moved(loops(seen, nu, shape[2]), 0, start[2]);
}

// The lesion on the slice `index` across an axis (0: sagittal, 1: coronal, 2: axial), as loops along the other two.
export function section(lesion, axis, index) {
  const { start, shape, inside } = lesion, k = index - start[axis];
  if (k < 0 || k >= shape[axis]) return [];
  const [a, b] = [0, 1, 2].filter((other) => other !== axis), strides = [shape[1] * shape[2], shape[2], 1];
  const seen = new Uint8Array(shape[a] * shape[b]);
  for (let i = 0, n = 0; i < shape[a]; i++)
    for (let j = 0; j < shape[b]; j++, n++) seen[n] = inside[i * strides[a] + j * strides[b] + k * strides[axis]];
  return moved(loops(seen, shape[a], shape[b]), start[a], start[b]);
}

const moved = (found, du, dv) => found.map((loop) => loop.map(([u, v]) => [u + du, v + dv]));

// Voxels at the lesion's surface, x, y, z each, from its window's corner: every ray that meets the lesion meets one of them.
function surfaceOf(lesion) {
  if (lesion.surface) return lesion.surface;
  const { shape: [nx, ny, nz], inside } = lesion, found = [];
  const at = (x, y, z) => x >= 0 && y >= 0 && z >= 0 && x < nx && y < ny && z < nz && inside[(x * ny + y) * nz + z];
  for (let x = 0, i = 0; x < nx; x++)
    for (let y = 0; y < ny; y++)
      for (let z = 0; z < nz; z++, i++) {
        if (!inside[i]) continue;
        const deep = at(x - 1, y, z) && at(x + 1, y, z) && at(x, y - 1, z) && at(x, y + 1, z) && at(x, y, z - 1) && at(x, y, z + 1);
        if (!deep) found.push(x, y, z);
      }
  return (lesion.surface = Int16Array.from(found));
}

// Outlines of the set cells of a (rows, columns) grid: marching squares, in cells from the grid's edge.
function loops(grid, rows, columns) {
  const at = (r, c) => (r < 0 || c < 0 || r >= rows || c >= columns ? 0 : grid[r * columns + c]);
  const next = new Map(); // from one crossing to the next, the set cells on the left
  const link = (from, to) => next.set(from.join(), to);
  for (let r = -1; r < rows; r++)
    for (let c = -1; c < columns; c++) {
      const low = [r + 0.5, c + 1], high = [r + 1.5, c + 1], left = [r + 1, c + 0.5], right = [r + 1, c + 1.5];
      const code = at(r, c) | (at(r + 1, c) << 1) | (at(r + 1, c + 1) << 2) | (at(r, c + 1) << 3);
      for (const [from, to] of SEGMENTS[code]) {
        const ends = { low, high, left, right };
        link(ends[from], ends[to]);
      }
    }
  const found = [];
  while (next.size) {
    let key = next.keys().next().value;
    const loop = [];
    while (next.has(key)) {
      const point = next.get(key);
      next.delete(key);
      loop.push(point);
      key = point.join();
    }
    found.push(loop);
  }
  return found;
}

// Corners: 1 (r, c), 2 (r + 1, c), 4 (r + 1, c + 1), 8 (r, c + 1). Sides of the square that a line joins.
const SEGMENTS = [
  [], [["left", "low"]], [["high", "left"]], [["high", "low"]],
  [["right", "high"]], [["left", "low"], ["right", "high"]], [["right", "left"]], [["right", "low"]],
  [["low", "right"]], [["left", "right"]], [["high", "left"], ["low", "right"]], [["high", "right"]],
  [["low", "high"]], [["left", "high"]], [["low", "left"]], [],
];

// A smooth closed line through the middles of a loop's steps, added to a path.
export function trace(path, loop, toScreen) {
  const points = loop.map(toScreen);
  const middle = (i) => {
    const [a, b] = [points[i % points.length], points[(i + 1) % points.length]];
    return [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
  };
  path.moveTo(...middle(0));
  for (let i = 1; i <= points.length; i++) path.quadraticCurveTo(...points[i % points.length], ...middle(i));
  path.closePath();
}
