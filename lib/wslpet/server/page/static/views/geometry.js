// Voxels of the RAS volume (x right, y anterior, z superior) ↔ mm, and the two views of it.

// u: the view's horizontal axis; ray: the axis it looks along.
export const VIEWS = { coronal: { u: 0, ray: 1 }, sagittal: { u: 1, ray: 0 } };

// The axes that each picture shows, and of a slice the one that it lies across.
export const PICTURES = {
  coronal: { axes: [0, 2] }, sagittal: { axes: [1, 2] },
  axial: { axes: [0, 1], across: 2 }, coronalSlice: { axes: [0, 2], across: 1 }, sagittalSlice: { axes: [1, 2], across: 0 },
};

export function toWorld(affine, voxel) {
  return [0, 1, 2].map((row) => affine[row][3] + voxel.reduce((sum, v, axis) => sum + affine[row][axis] * v, 0));
}

export function toVoxel(affine, position) {
  const [a, b, c] = [0, 1, 2].map((axis) => [0, 1, 2].map((row) => affine[row][axis])); // columns
  const d = [0, 1, 2].map((row) => position[row] - affine[row][3]);
  const whole = dot(a, cross(b, c));
  return [dot(d, cross(b, c)) / whole, dot(a, cross(d, c)) / whole, dot(a, cross(b, d)) / whole];
}

const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];

// The grid of a MIP at an angle with nu columns, as `rotated_mips` of the server makes it: mm of its pixels, and edge
// coordinates (x, y) → u.
export function rotated({ shape, spacing: [sx, sy, sz] }, degrees, nu) {
  const pixel = Math.max(sx, sy), angle = (degrees * Math.PI) / 180;
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const middle = [Math.floor(shape[0] / 2), Math.floor(shape[1] / 2)];
  return { spacing: [pixel, sz], across: (x, y) => ((x - middle[0]) * sx * cos + (y - middle[1]) * sy * sin) / pixel + nu / 2 };
}

// The letters at the left and the right end of a view from an angle: at 0° the coronal view, at 90° the sagittal view; of an
// axis between two of the patient's, both, the nearer one first.
export function ends(degrees) {
  const angle = (degrees * Math.PI) / 180;
  const letters = (right, front) => {
    const parts = [[right, "RL"], [front, "AP"]].filter(([size]) => Math.abs(size) > 0.01);
    parts.sort(([a], [b]) => Math.abs(b) - Math.abs(a));
    return parts.map(([size, pair]) => pair[size > 0 ? 0 : 1]).join("");
  };
  return [letters(Math.cos(angle), Math.sin(angle)), letters(-Math.cos(angle), -Math.sin(angle))];
}

// "R 48 · A 39 · S 655 mm", from mm RAS.
export function inWords(position) {
  const ends = ["LR", "PA", "IS"]; // of negative and positive numbers
  return `${position.map((v, axis) => `${ends[axis][v < 0 ? 0 : 1]} ${Math.abs(v).toFixed(0)}`).join(" · ")} mm`;
}
