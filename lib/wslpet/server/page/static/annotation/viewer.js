// The three pictures of a patient: both MIPs and an axial slice, with what is marked on them.
import { ends, VIEWS } from "./geometry.js";
import { section, shadow, silhouette } from "./lesion.js";
import { cross, drawHeat, heat, outline, ring, turnedHeat } from "./marks.js";
import { Panel } from "./panel.js";
import { slice, turned } from "../common/patients.js";

const GAP = 12, SLICE_PIXELS = 250;
const BODY_SUV = 0.4, MARGIN_MM = 20;
const TURN_DEGREES = 15, TURNS = 360 / TURN_DEGREES, TURN_PIXELS = 24;
const FIRST_SLICE = 0.6; // of the height: the chest
const WINDOW = { low: 0, high: 10 };

export class Viewer extends EventTarget {
  patient = null;
  seed = null; // voxel (x, y, z)
  lesion = null; // as lesion.js decodes it
  model = null; // { lesion, cams: { coronal, sagittal } as the server sends them } as far as they are to be seen
  degrees = 0; // asked for
  #drawn = 0; // on the screen
  #heats = new Map(); // angle → { cams, coronal, sagittal }: the CAMs as seen from there
  #hovered = null;
  #z = 0;
  #turning = 0;

  constructor(root) {
    super();
    this.root = root;
    this.panels = {};
    for (const view of ["coronal", "sagittal"]) {
      this.panels[view] = new Panel(root.querySelector(`#${view}`), {
        hover: (u, v) => this.#hover(this.shown[view].lift(u, v), this.panels[view].value(u, v)),
        leave: () => this.#hover(null),
        click: (u, v, event) => this.#click(this.shown[view].lift(u, v), event),
        drag: (along, by) => (along === "y" ? this.scaleWindow(Math.exp(-by / 160)) : this.#drag(by)),
      });
    }
    this.axial = new Panel(root.querySelector("#axial"), {
      hover: (x, y) => this.#hover([x, y, this.#z], this.axial.value(x, y)),
      leave: () => this.#hover(null),
      click: (x, y, event) => this.#click([x, y, this.#z], event),
      drag: (along, by) => along === "y" && this.scaleWindow(Math.exp(-by / 160)),
      wheel: (by) => this.look(this.#z - by),
    });
    this.inverse = true;
    this.setWindow(WINDOW.low, WINDOW.high);
    for (const [view, panel] of Object.entries(this.panels)) panel.mark((...on) => this.#markMip(view, ...on));
    this.axial.mark((...on) => this.#markSlice(...on));
    new ResizeObserver(() => this.#layOut()).observe(root.querySelector(".views"));
  }

  // Resolves when both MIPs are on the screen.
  show(patient) {
    Object.assign(this, { patient, seed: null, lesion: null, model: null, degrees: 0 });
    this.shown = patient.mips;
    this.#drawn = 0;
    this.#hovered = null;
    this.body = bodyOf(patient);
    this.#fill();
    this.look(Math.round(patient.shape[2] * FIRST_SLICE));
    return new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
  }

  clear() {
    this.patient = null;
    for (const panel of [...Object.values(this.panels), this.axial]) panel.clear();
  }

  refresh() {
    for (const panel of [...Object.values(this.panels), this.axial]) panel.refresh("overlay");
  }

  setWindow(low, high) {
    this.low = Math.min(Math.max(low, 0), 5);
    this.high = Math.min(Math.max(high, this.low + 0.5), 40);
    for (const panel of [...Object.values(this.panels), this.axial]) panel.window(this.low, this.high, this.inverse);
    this.dispatchEvent(new Event("window"));
  }

  resetWindow() {
    this.setWindow(WINDOW.low, WINDOW.high);
  }

  scaleWindow(by) {
    this.setWindow(this.low, this.high * by);
  }

  invert() {
    this.inverse = !this.inverse;
    this.setWindow(this.low, this.high);
  }

  // Show a slice further up or down.
  step(by) {
    this.look(this.#z + by);
  }

  // Show an axial slice.
  async look(z) {
    const { patient } = this;
    if (!patient) return;
    this.#z = Math.min(Math.max(z, 0), patient.shape[2] - 1);
    this.refresh();
    const wanted = this.#z;
    const numbers = await slice(patient, wanted).catch(() => null);
    if (!numbers || this.patient !== patient || this.#z !== wanted) return;
    const [nx, ny] = patient.shape, [sx, sy] = patient.spacing;
    this.axial.show(numbers, [nx, ny], [sx, sy], patient.suv_step, this.body.axial);
    for (const near of [wanted - 1, wanted + 1]) if (near >= 0 && near < patient.shape[2]) slice(patient, near);
  }

  // Look at the patient from another side.
  turn(steps) {
    return this.#lookFrom((this.degrees + (steps % TURNS) * TURN_DEGREES + 360) % 360);
  }

  // Look at the patient's coronal and sagittal again.
  coronal() {
    return this.#lookFrom(0);
  }

  async #lookFrom(wanted) {
    const { patient } = this;
    if (!patient) return;
    this.degrees = wanted;
    if (wanted === 0) this.shown = patient.mips;
    else {
      const [coronal, sagittal] = await Promise.all([wanted, (wanted + 90) % 360].map((angle) => turned(patient, angle))).catch(() => []);
      if (!coronal || this.patient !== patient || this.degrees !== wanted) return;
      this.shown = { coronal, sagittal };
    }
    this.#drawn = wanted;
    this.#fill();
  }

  #drag(by) {
    this.#turning += by;
    const steps = Math.trunc(this.#turning / TURN_PIXELS);
    this.#turning -= steps * TURN_PIXELS;
    if (steps) this.turn(steps);
  }

  #hover(voxel, suv) {
    this.#hovered = voxel;
    this.refresh();
    this.dispatchEvent(new CustomEvent("hover", { detail: voxel && { voxel, suv } }));
  }

  #click(voxel, event) {
    this.dispatchEvent(new CustomEvent("seed", { detail: { voxel, time: event.timeStamp } }));
  }

  #fill() {
    const turned = this.#drawn !== 0;
    for (const [view, panel] of Object.entries(this.panels)) {
      const { mip, size, spacing } = this.shown[view];
      panel.show(mip, size, spacing, this.patient.suv_step, turned ? this.#round(this.shown[view]) : this.body[view]);
      panel.figure.classList.toggle("turned", turned);
      const angle = (this.#drawn + (view === "sagittal" ? 90 : 0)) % 360;
      panel.name(ends(angle), `${angle}°`);
    }
    this.#layOut();
  }

  // As much of a turned view as the body takes from any side.
  #round({ across, size, spacing }) {
    const [x0, y0, x1, y1] = this.body.axial, [sx, sy] = this.patient.spacing;
    const half = Math.max((x1 - x0) * sx, (y1 - y0) * sy) / 2 / spacing[0];
    const centre = across((x0 + x1) / 2, (y0 + y1) / 2);
    return [Math.max(0, Math.floor(centre - half)), 0, Math.min(size[0], Math.ceil(centre + half)), size[1]];
  }

  #layOut() {
    if (!this.patient) return;
    const room = this.root.querySelector(".views").getBoundingClientRect();
    const [[wide, high], [wide2]] = Object.values(this.panels).map((panel) => panel.millimetres);
    const scale = Math.min(room.height / high, (room.width - GAP) / (wide + wide2));
    for (const panel of Object.values(this.panels)) {
      const [width, height] = panel.millimetres;
      panel.place(Math.floor(width * scale), Math.floor(height * scale));
    }
    const [x0, y0, x1, y1] = this.body.axial, [sx, sy] = this.patient.spacing;
    const place = this.axial.figure.parentElement.clientWidth;
    const fit = Math.min(place / ((x1 - x0) * sx), SLICE_PIXELS / ((y1 - y0) * sy));
    this.axial.place(Math.floor((x1 - x0) * sx * fit), Math.floor((y1 - y0) * sy * fit));
  }

  // Where a point (voxels from the edge) lies on a view, as the view is turned now.
  #onView(view, [x, y, z]) {
    const { across } = this.shown[view];
    return [across ? across(x, y) : [x, y][VIEWS[view].u], z];
  }

  #loops(view, lesion) {
    const { across, size } = this.shown[view];
    return across ? shadow(lesion, across, size) : silhouette(lesion, VIEWS[view].ray);
  }

  #markMip(view, context, toScreen) {
    const cam = this.#heat(view);
    if (cam) drawHeat(context, toScreen, cam);
    if (this.lesion) outline(context, toScreen, this.#loops(view, this.lesion), "yours");
    if (this.model?.lesion) outline(context, toScreen, this.#loops(view, this.model.lesion), "model");
    if (this.seed) cross(context, toScreen(this.#onView(view, middle(this.seed))), "yours");
    if (this.#hovered) ring(context, toScreen(this.#onView(view, middle(this.#hovered))));
  }

  // The CAMs as they look from the side that is on the screen.
  #heat(view) {
    const { cams } = this.model ?? {};
    if (!cams?.[view]) return null;
    if (this.#heats.get(this.#drawn)?.cams !== cams) this.#heats.set(this.#drawn, { cams });
    const seen = this.#heats.get(this.#drawn);
    seen[view] ??= this.#drawn === 0 ? heat(cams[view]) : turnedHeat(cams, this.shown[view]);
    return seen[view];
  }

  #markSlice(context, toScreen) {
    if (this.lesion) outline(context, toScreen, section(this.lesion, this.#z), "yours");
    if (this.model?.lesion) outline(context, toScreen, section(this.model.lesion, this.#z), "model");
    if (this.seed && Math.abs(this.seed[2] - this.#z) < 0.6) cross(context, toScreen(middle(this.seed)), "yours");
  }
}

const middle = (voxel) => voxel.map((v) => v + 0.5);

// What of the pictures is body: [u0, v0, u1, v1] of each.
function bodyOf({ mips, suv_step, shape, spacing }) {
  const range = (mip, [nu, nz], mm) => {
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
  const [x0, x1] = range(mips.coronal.mip, mips.coronal.size, spacing[0]);
  const [y0, y1] = range(mips.sagittal.mip, mips.sagittal.size, spacing[1]);
  const nz = shape[2];
  return { coronal: [x0, 0, x1, nz], sagittal: [y0, 0, y1, nz], axial: [x0, y0, x1, y1] };
}
