// The MIPs from any side: by steps, by dragging, and as a cine. All sides are fetched once somebody turns, the coarse steps
// first; until all are there, the nearest side that is there is shown, so that no frame waits.
import { measure } from "../common/measure.js";
import { turned } from "../common/patients.js";

export const STEP = 15; // degrees of a key
const FINE = 3, FRAME_MS = 1000 / 30, AT_ONCE = 3;

// Coarse to fine: 0, 90, 45, 135, …, of half a turn; the other half is the mirror image.
export function order(fine = FINE) {
  const angles = Array.from({ length: 180 / fine }, (_, n) => n * fine);
  const coarseness = (angle) => [90, 45, 15].findIndex((step) => angle % step === 0);
  const rank = (angle) => (coarseness(angle) < 0 ? 3 : coarseness(angle));
  return angles.sort((a, b) => rank(a) - rank(b) || a - b);
}

export const around = (degrees) => ((degrees % 360) + 360) % 360;

export class Turntable extends EventTarget {
  degrees = 0; // on the screen
  cine = false;
  #patient = null;
  #wanted = 0;
  #frame = 0; // time of the last one
  #fetching = null;

  of(patient) {
    this.#patient = patient;
    this.degrees = this.#wanted = 0;
    this.stop();
  }

  // What is on the screen: { coronal, sagittal }.
  get views() {
    return this.degrees === 0 ? this.#patient.mips : at(this.#patient, this.degrees);
  }

  // Whether the pictures keep room for the body from every side.
  get turning() {
    return this.degrees !== 0 || this.cine;
  }

  async turn(steps) {
    this.stop();
    await this.#go(around(Math.round(this.#wanted / STEP) * STEP + steps * STEP));
  }

  drag(steps) {
    this.stop();
    return this.#go(around(this.#wanted + steps * FINE), true);
  }

  front() {
    this.stop();
    return this.#go(0);
  }

  stop() {
    if (!this.cine) return;
    this.cine = false;
    this.dispatchEvent(new Event("turn"));
  }

  toggle() {
    if (!this.#patient) return;
    if (this.cine) return this.stop();
    this.cine = true;
    this.#frame = 0;
    this.#fetchAll();
    requestAnimationFrame((time) => this.#play(time));
  }

  #play(time) {
    if (!this.cine || !this.#patient) return;
    const passed = time - this.#frame;
    if (!this.#frame || passed >= FRAME_MS - 2) {
      if (this.#frame) measure("cine-frame", this.#frame, time);
      this.#wanted = around(this.#wanted + FINE * (this.#frame ? Math.max(1, Math.round(passed / FRAME_MS)) : 1));
      this.#frame = time;
      this.#show(this.#nearest(this.#wanted));
    }
    requestAnimationFrame((next) => this.#play(next));
  }

  async #go(wanted, nearest = false) {
    const patient = this.#patient;
    if (!patient) return;
    this.#wanted = wanted;
    if (wanted !== 0) this.#fetchAll();
    if (wanted === 0 || at(patient, wanted)) return this.#show(wanted);
    if (nearest) this.#show(this.#nearest(wanted));
    await Promise.all([wanted, wanted + 90].map((angle) => turned(patient, around(angle) % 180))).catch(() => {});
    if (this.#patient === patient && this.#wanted === wanted && at(patient, wanted)) this.#show(wanted);
  }

  #show(degrees) {
    this.degrees = degrees;
    this.dispatchEvent(new Event("turn"));
  }

  // The side nearest to the one that is wanted, of those that are here.
  #nearest(wanted) {
    for (let away = 0; away <= 180; away += FINE)
      for (const angle of [around(wanted - away), around(wanted + away)]) if (angle === 0 || at(this.#patient, angle)) return angle;
    return 0;
  }

  async #fetchAll() {
    const patient = this.#patient;
    if (this.#fetching === patient) return;
    this.#fetching = patient;
    const left = order();
    const work = async () => {
      while (left.length && this.#patient === patient) await turned(patient, left.shift()).catch(() => {});
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    if (this.#patient !== patient || !order().every((angle) => patient.sides.has(angle))) this.#fetching = null;
    else this.dispatchEvent(new Event("complete"));
  }
}

// Both views from an angle, if they are here.
function at(patient, degrees) {
  const kept = (patient.pairs ??= new Map());
  if (!kept.has(degrees)) {
    const [coronal, sagittal] = [degrees, around(degrees + 90)].map((angle) => side(patient, angle));
    if (!coronal || !sagittal) return null;
    kept.set(degrees, { coronal, sagittal });
  }
  return kept.get(degrees);
}

function side(patient, degrees) {
  const found = patient.sides.get(degrees % 180);
  return found && degrees >= 180 ? mirrored(found) : found;
}

// From behind: the same maxima, the other way round.
export function mirrored({ mip, size: [nu, nz], spacing, lift, across }) {
  const turned = new Uint16Array(mip.length);
  for (let u = 0; u < nu; u++) turned.set(mip.subarray((nu - 1 - u) * nz, (nu - u) * nz), u * nz);
  return { mip: turned, size: [nu, nz], spacing, lift: (u, v) => lift(nu - 1 - u, v), across: (x, y) => nu - across(x, y) };
}
