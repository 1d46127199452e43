// What is drawn above the pictures. Okabe and Ito's colours, and solid against dashed: told apart without colour, too.
import { trace } from "./lesion.js";

const COLOUR = { yours: "#d55e00", chosen: "#d55e00", model: "#0072b2", reader0: "#009e73", reader1: "#cc79a7", cam: [230, 159, 0], halo: "rgba(255, 255, 255, 0.85)" };
const WIDTH = { yours: 2, chosen: 3, model: 2, reader0: 1.5, reader1: 1.5 };
const DASH = { model: [6, 4], reader0: [2, 3], reader1: [10, 3] };
const FONT = "600 12px system-ui, sans-serif";

export function outline(context, toScreen, loops, whose) {
  const path = new Path2D();
  for (const loop of loops) trace(path, loop, toScreen);
  context.lineJoin = "round";
  context.setLineDash(DASH[whose] ?? []);
  for (const [style, width] of [[COLOUR.halo, WIDTH[whose] + 2.5], [COLOUR[whose], WIDTH[whose]]]) {
    context.strokeStyle = style;
    context.lineWidth = width;
    context.stroke(path);
  }
  context.setLineDash([]);
}

// The voxels of a lesion, so thin that what is under them stays visible.
export function fill(context, toScreen, loops, whose) {
  const path = new Path2D();
  for (const loop of loops) trace(path, loop, toScreen);
  context.globalAlpha = 0.18;
  context.fillStyle = COLOUR[whose];
  context.fill(path, "evenodd");
  context.globalAlpha = 1;
}

// A number beside a lesion.
export function label(context, toScreen, loops, text) {
  if (!loops.length) return;
  const points = loops.flat().map(toScreen), x = Math.max(...points.map(([at]) => at)) + 4, y = Math.min(...points.map(([, at]) => at)) - 2;
  haloed(context, text, x, y, COLOUR.yours);
}

function haloed(context, text, x, y, colour) {
  context.font = FONT;
  context.strokeStyle = COLOUR.halo;
  context.lineWidth = 4;
  context.strokeText(text, x, y);
  context.fillStyle = colour;
  context.fillText(text, x, y);
}

export function ruler(context, from, to, text) {
  for (const [style, width] of [[COLOUR.halo, 4], ["#333", 1.5]]) lines(context, [[...from, ...to]], style, width);
  haloed(context, text, to[0] + 8, to[1] - 8, "#333");
}

function lines(context, ends, style, width) {
  context.strokeStyle = style;
  context.lineWidth = width;
  context.beginPath();
  for (const [x0, y0, x1, y1] of ends) {
    context.moveTo(x0, y0);
    context.lineTo(x1, y1);
  }
  context.stroke();
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

// A place that is no tumour.
export function crossedOut(context, [x, y]) {
  for (const [style, width] of [[COLOUR.halo, 4.5], [COLOUR.model, 2]]) lines(context, [[x - 5, y - 5, x + 5, y + 5], [x - 5, y + 5, x + 5, y - 5]], style, width);
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
