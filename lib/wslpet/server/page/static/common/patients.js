// Patients, fetched before they are needed.
import { call, image } from "./api.js";

const KEPT = 6;

export class Patients {
  #kept = new Map(); // name → promise; used longest ago first
  #ready = new Set();

  // { image, title, shape, spacing, affine, suv_step, history, mips: { coronal, sagittal }, slices }
  get(name) {
    const found = this.#kept.get(name) ?? fetched(name);
    this.#kept.delete(name);
    this.#kept.set(name, found);
    found.then(() => this.#ready.add(name), () => this.#kept.delete(name));
    while (this.#kept.size > KEPT) this.#kept.delete(this.#kept.keys().next().value);
    return found;
  }

  // Whether it is here, and not only on its way.
  ready(name) {
    return this.#ready.has(name) && this.#kept.has(name);
  }

  forget(name) {
    this.#ready.delete(name);
    this.#kept.delete(name);
  }
}

async function fetched(name) {
  const [patient, numbers] = await Promise.all([call(image(name)), call(`${image(name)}/mips`, { as: "numbers" })]);
  const [x, y, z] = patient.shape;
  const parts = [x * z, x * z, y * z, y * z];
  let from = 0;
  const [coronal, coronalDepth, sagittal, sagittalDepth] = parts.map((n) => numbers.subarray(from, (from += n)));
  const [sx, sy, sz] = patient.spacing;
  patient.mips = {
    coronal: { mip: coronal, size: [x, z], spacing: [sx, sz], lift: (u, v) => [u, coronalDepth[u * z + v], v] },
    sagittal: { mip: sagittal, size: [y, z], spacing: [sy, sz], lift: (u, v) => [sagittalDepth[u * z + v], u, v] },
  };
  patient.slices = new Map();
  patient.turns = new Map();
  return patient;
}

// An axial slice, and its neighbours for the wheel; each is fetched once.
export function slice(patient, z) {
  if (!patient.slices.has(z)) {
    const asked = call(`${image(patient.image)}/slices/${z}`, { as: "numbers" });
    asked.catch(() => patient.slices.delete(z));
    patient.slices.set(z, asked);
  }
  return patient.slices.get(z);
}

// The MIP from another side. Pixels are square in mm across, and know the column (x, y) that they came from.
export function turned(patient, degrees) {
  if (!patient.turns.has(degrees)) {
    const asked = call(`${image(patient.image)}/mips/${degrees}`, { as: "numbers" }).then((numbers) => unpacked(patient, degrees, numbers));
    asked.catch(() => patient.turns.delete(degrees));
    patient.turns.set(degrees, asked);
  }
  return patient.turns.get(degrees);
}

function unpacked(patient, degrees, numbers) {
  const nz = patient.shape[2], n = numbers.length / 3, nu = n / nz;
  const [mip, xs, ys] = [0, 1, 2].map((part) => numbers.subarray(part * n, (part + 1) * n));
  const [sx, sy, sz] = patient.spacing;
  const pixel = Math.min(sx, sy);
  const [cos, sin] = [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];
  const middle = [Math.floor(patient.shape[0] / 2) * sx, Math.floor(patient.shape[1] / 2) * sy];
  return {
    mip, size: [nu, nz], spacing: [pixel, sz],
    lift: (u, v) => [xs[u * nz + v], ys[u * nz + v], v],
    // Edge coordinates (x, y) → u.
    across: (x, y) => ((x * sx - middle[0]) * cos + (y * sy - middle[1]) * sin) / pixel + nu / 2,
  };
}
