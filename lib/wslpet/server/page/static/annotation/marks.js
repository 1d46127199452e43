// What is drawn above the pictures. Okabe and Ito's colours, and solid against dashed: told apart without colour, too.
import { trace } from "./lesion.js";

const COLOUR = { yours: "#d55e00", model: "#0072b2", cam: [230, 159, 0], halo: "rgba(255, 255, 255, 0.85)" };

export function outline(context, toScreen, loops, whose) {
  const path = new Path2D();
  for (const loop of loops) trace(path, loop, toScreen);
  context.lineJoin = "round";
  context.setLineDash(whose === "model" ? [6, 4] : []);
  for (const [style, width] of [[COLOUR.halo, 4.5], [COLOUR[whose], 2]]) {
    context.strokeStyle = style;
    context.lineWidth = width;
    context.stroke(path);
  }
  context.setLineDash([]);
}

// A cross with an open middle, so that what is under it stays visible.
export function cross(context, [x, y], whose) {
  for (const [style, width] of [[COLOUR.halo, 4.5], [COLOUR[whose], 2]]) {
    context.strokeStyle = style;
    context.lineWidth = width;
    context.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.moveTo(x + 5 * dx, y + 5 * dy);
      context.lineTo(x + 14 * dx, y + 14 * dy);
    }
    context.stroke();
  }
}

export function ring(context, [x, y]) {
  context.strokeStyle = "rgba(0, 0, 0, 0.55)";
  context.lineWidth = 1.5;
  context.beginPath();
  context.arc(x, y, 7, 0, 7);
  context.stroke();
}

// CAM cells as the server sends them → a small canvas, to be stretched over its place.
export function heat({ shape: [nu, nz], origin, size, cells }) {
  const bytes = unpacked(cells);
  const canvas = painted(nu, nz, (u, z) => bytes[u * nz + z]);
  return { canvas, from: origin, to: [origin[0] + nu * size[0], origin[1] + nz * size[1]] };
}

// Both CAMs from another side: each pixel is the voxel that it came from, which both have seen; their mean there.
export function turnedHeat({ coronal, sagittal }, { size: [nu, nz], lift }) {
  const [coronalAt, sagittalAt] = [coronal, sagittal].map(sampler);
  const canvas = painted(nu, nz, (u, z) => {
    const [x, y] = lift(u, z);
    return (coronalAt(x, z) + sagittalAt(y, z)) / 2;
  });
  return { canvas, from: [0, 0], to: [nu, nz] };
}

// (u, z) voxel → byte of the cell around it.
function sampler({ shape: [nu, nz], origin, size, cells }) {
  const bytes = unpacked(cells);
  const cell = (at, axis, n) => Math.min(Math.max(Math.floor((at + 0.5 - origin[axis]) / size[axis]), 0), n - 1);
  return (u, z) => bytes[cell(u, 0, nu) * nz + cell(z, 1, nz)];
}

const unpacked = (cells) => Uint8Array.from(atob(cells), (c) => c.charCodeAt(0));

function painted(nu, nz, value) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [nu, nz];
  const pixels = new ImageData(nu, nz);
  for (let u = 0; u < nu; u++)
    for (let z = 0; z < nz; z++) {
      const at = 4 * ((nz - 1 - z) * nu + (nu - 1 - u));
      pixels.data.set([...COLOUR.cam, value(u, z) * 0.75], at);
    }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}

export function drawHeat(context, toScreen, { canvas, from, to }) {
  const [left, top] = toScreen(to);
  const [right, bottom] = toScreen(from);
  context.imageSmoothingQuality = "high";
  context.drawImage(canvas, left, top, right - left, bottom - top);
}
