// Where the five pictures stand, and which part of the patient each shows.
import { PICTURES } from "./geometry.js";

// The room: MIPs at the left over the whole height, the axial slice beside them, below it the other two.
// Where the room is upright (a tablet, a phone), MIPs above and slices below.

const GAP = 8, MIPS_AT_MOST = 0.54, AXIAL_AT_MOST = 0.56, UPRIGHT_MIPS = 0.6;

// room: [width, height] CSS pixels. mm: { coronal: [width, height], sagittal, body: [x, y] } of what the pictures must show.
// Gives [left, top, width, height] of each.
export function arranged([width, height], { coronal, sagittal, body: [x, y] }) {
  const across = coronal[0] + sagittal[0], high = coronal[1];
  if (width < height) return upright(width, height, { coronal, sagittal, across, high, x, y });
  const mips = Math.min((across * height) / high + GAP, width * MIPS_AT_MOST);
  const slices = width - mips - GAP, left = mips + GAP;
  const axial = Math.min((slices * y) / x, height * AXIAL_AT_MOST), top = axial + GAP;
  const split = ((slices - GAP) * x) / (x + y);
  return whole({
    ...beside(0, mips, 0, height, coronal[0] / across),
    axial: [left, 0, slices, axial],
    coronalSlice: [left, top, split, height - top],
    sagittalSlice: [left + split + GAP, top, slices - split - GAP, height - top],
  });
}

function upright(width, height, { coronal, across, high, x, y }) {
  const mips = Math.min(height * UPRIGHT_MIPS, ((width - GAP) * high) / across), top = mips + GAP, rest = height - top;
  // Slices: each as wide as the body is in it.
  const unit = (width - 2 * GAP) / (2 * x + y), second = x * unit + GAP, third = second + x * unit + GAP;
  return whole({
    ...beside(0, width, 0, mips, coronal[0] / across),
    axial: [0, top, x * unit, rest],
    coronalSlice: [second, top, x * unit, rest],
    sagittalSlice: [third, top, y * unit, rest],
  });
}

function beside(left, width, top, height, share) {
  const first = (width - GAP) * share;
  return { coronal: [left, top, first, height], sagittal: [left + first + GAP, top, width - first - GAP, height] };
}

const whole = (places) => Object.fromEntries(Object.entries(places).map(([name, place]) => [name, place.map(Math.floor)]));

const BODY_SUV = 0.4, MARGIN_MM = 20;
const MOST_ZOOM = 12, EDGE = 0.8;

// MIPs share a zoom, and slices another; each is moved along x, y and z in mm from the middle of the body.
export class Framing {
  #room;
  #patient = null;
  #turning = false;
  #fields = { mips: { zoom: 1, pan: [0, 0, 0] }, slices: { zoom: 1, pan: [0, 0, 0] } };

  // onPicture(name, voxel from the edge): where it lies on a picture.
  constructor(room, panels, onPicture) {
    Object.assign(this, { panels, onPicture });
    this.#room = room;
  }

  of(patient, body) {
    this.#patient = patient;
    this.body = body;
    this.#turning = false;
    this.#whole();
    this.layOut();
  }

  // The whole body again.
  reset() {
    this.#whole();
    this.#aim();
  }

  // Room for the body from every side, or only from the front and the side.
  turn(turning) {
    if (this.#turning === turning) return this.#aim();
    this.#turning = turning;
    this.layOut();
  }

  // A room that is hidden has no size: the pictures keep theirs.
  layOut() {
    if (!this.#patient || !this.#room.clientWidth) return;
    const [x, y, z] = this.#extent(), most = Math.max(x, y), [first, second] = this.#turning ? [most, most] : [x, y];
    const places = arranged([this.#room.clientWidth, this.#room.clientHeight], { coronal: [first, z], sagittal: [second, z], body: [x, y] });
    for (const [name, place] of Object.entries(places)) this.panels[name].place(place);
    this.#aim();
  }

  pan(name, dx, dy) {
    const { axes } = PICTURES[name], { scale } = this.panels[name], { pan } = this.#field(name);
    pan[axes[0]] += dx * scale;
    pan[axes[1]] += dy * scale;
    this.#aim();
  }

  // What is under the pointer stays there.
  zoom(name, factor, at) {
    const { axes } = PICTURES[name], panel = this.panels[name], field = this.#field(name);
    const zoom = Math.min(Math.max(field.zoom * factor, 1), MOST_ZOOM), by = 1 - field.zoom / zoom;
    if (at) axes.forEach((axis, n) => { field.pan[axis] += (at[n] - panel.centre[n]) * panel.spacing[n] * by; });
    field.zoom = zoom;
    if (zoom === 1) field.pan = [0, 0, 0];
    this.#aim();
  }

  // Slices at the cross, larger: twice, four times, whole again.
  magnify(cross) {
    const { zoom } = this.#fields.slices, larger = zoom >= 4 ? 1 : zoom >= 2 ? 4 : 2;
    this.#fields.slices = { zoom: larger, pan: larger === 1 ? [0, 0, 0] : this.#fromMiddle(cross) };
    this.follow(cross);
  }

  // The slices' part moves with the cross where the cross would leave it.
  follow(cross) {
    const { zoom, pan } = this.#fields.slices, from = this.#fromMiddle(cross);
    for (const axis of zoom > 1 ? [0, 1, 2] : [2]) {
      const panel = this.panels[axis === 1 ? "axial" : "coronalSlice"], length = axis === 0 ? panel.width : panel.height;
      if (!panel.scale || Math.abs(from[axis] - pan[axis]) > (EDGE * length * panel.scale) / 2) pan[axis] = from[axis];
    }
    this.#aim();
  }

  #field(name) {
    return this.#fields[PICTURES[name].across === undefined ? "mips" : "slices"];
  }

  #whole() {
    for (const field of Object.values(this.#fields)) Object.assign(field, { zoom: 1, pan: [0, 0, 0] });
  }

  // The middle of the body, voxels from the edge.
  get middle() {
    const { x, y } = this.body;
    return [(x[0] + x[1]) / 2, (y[0] + y[1]) / 2, this.#patient.shape[2] / 2];
  }

  #fromMiddle(voxel) {
    return voxel.map((v, axis) => (v + 0.5 - this.middle[axis]) * this.#patient.spacing[axis]);
  }

  // Of the body, mm.
  #extent() {
    const { shape, spacing } = this.#patient, { x, y } = this.body;
    return [(x[1] - x[0]) * spacing[0], (y[1] - y[0]) * spacing[1], shape[2] * spacing[2]];
  }

  #aim() {
    if (!this.#patient || !this.panels.coronal.width) return;
    const [x, y, z] = this.#extent(), { spacing } = this.#patient;
    for (const [name, { axes, across }] of Object.entries(PICTURES)) {
      const panel = this.panels[name], { zoom, pan } = this.#field(name), mip = across === undefined;
      if (mip && !panel.size) continue;
      const width = mip && this.#turning ? Math.max(x, y) : [x, y][axes[0]];
      const height = mip ? z : across === 2 ? y : 0; // a coronal or sagittal slice is as wide as fits, whatever its height
      const mm = mip ? panel.spacing : axes.map((axis) => spacing[axis]), at = this.onPicture(name, this.middle);
      panel.aim(axes.map((axis, n) => at[n] + pan[axis] / mm[n]), Math.max(width / panel.width, height / panel.height) / zoom);
    }
  }
}

// The x and y that the body takes, [first, last + 1] voxels, with a margin.
export function bodyOf({ mips, suv_step, spacing }) {
  const range = ({ mip, size: [nu, nz] }, mm) => {
    let [first, last] = [nu, -1];
    for (let u = 0; u < nu; u++) {
      let body = 0;
      for (let z = 0; z < nz; z++) if (mip[u * nz + z] * suv_step > BODY_SUV) body++;
      if (body > 2) [first, last] = [Math.min(first, u), u];
    }
    if (last < 0) return [0, nu];
    const margin = Math.ceil(MARGIN_MM / mm);
    return [Math.max(0, first - margin), Math.min(nu, last + 1 + margin)];
  };
  return { x: range(mips.coronal, spacing[0]), y: range(mips.sagittal, spacing[1]) };
}
