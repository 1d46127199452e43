// Patients, fetched before they are needed.
import { rotated } from "../views/geometry.js";
import { call, image } from "./api.js";

const KEPT = 6;

export class Patients {
  #kept = new Map(); // name → promise; used longest ago first
  #ready = new Set();

  // { image, title, shape, spacing, affine, suv_step, history, mips: { coronal, sagittal } }, and slices and sides as they come.
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
  Object.assign(patient, { blocks: new Map(), turns: new Map(), sides: new Map() });
  return patient;
}

const BLOCK = 8; // slices of one request
const NEAR_MS = 150; // the blocks beside it are fetched this much later: the lesion of a click goes first
export const PLANES = ["sagittal", "coronal", "axial"]; // by the axis that they lie across

// A slice across an axis, along the other two: its numbers when they are here, else null and `arrived` is called later.
// The blocks before and after it are fetched, too. of: "pet", or "ct" in HU on the same voxels.
export function slice(patient, axis, index, of, arrived) {
  const block = Math.floor(index / BLOCK), last = Math.floor((patient.shape[axis] - 1) / BLOCK);
  const found = blockOf(patient, axis, block, of);
  if (!found.numbers) found.asked.then(arrived, () => {});
  else setTimeout(() => { for (const near of [block + 1, block - 1]) if (near >= 0 && near <= last) blockOf(patient, axis, near, of); }, NEAR_MS);
  if (!found.numbers) return null;
  const size = patient.shape.reduce((all, n, other) => (other === axis ? all : all * n), 1);
  const from = (index - block * BLOCK) * size;
  return found.numbers.subarray(from, from + size);
}

function blockOf(patient, axis, block, of) {
  const key = `${of} ${axis} ${block}`;
  if (!patient.blocks.has(key)) {
    const path = `${image(patient.image)}/${of === "ct" ? "ct" : "slices"}/${PLANES[axis]}/${block * BLOCK}?count=${BLOCK}`;
    const entry = { numbers: null };
    entry.asked = call(path, { as: of === "ct" ? "signed" : "numbers" }).then((numbers) => { entry.numbers = numbers; });
    entry.asked.catch(() => patient.blocks.delete(key));
    patient.blocks.set(key, entry);
  }
  return patient.blocks.get(key);
}

// The MIP from a side, 0 to below 180 degrees. Pixels are square in mm across, and know the column (x, y) they came from.
export function turned(patient, degrees) {
  if (!patient.turns.has(degrees)) {
    const asked = call(`${image(patient.image)}/mips/${degrees}`, { as: "numbers" }).then((numbers) => {
      patient.sides.set(degrees, unpacked(patient, degrees, numbers));
    });
    asked.catch(() => patient.turns.delete(degrees));
    patient.turns.set(degrees, asked);
  }
  return patient.turns.get(degrees);
}

function unpacked(patient, degrees, numbers) {
  const nz = patient.shape[2], n = numbers.length / 3, nu = n / nz;
  const [mip, xs, ys] = [0, 1, 2].map((part) => numbers.subarray(part * n, (part + 1) * n));
  return {
    mip, size: [nu, nz], lift: (u, v) => [xs[u * nz + v], ys[u * nz + v], v],
    ...rotated(patient, degrees, nu),
  };
}
