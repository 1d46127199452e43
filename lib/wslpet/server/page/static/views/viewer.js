// The five pictures of a patient: both MIPs and three slices through the cross, with what is marked on them.
import { measure, painted } from "../common/measure.js";
import { slice } from "../common/patients.js";
import { ends, PICTURES, VIEWS } from "./geometry.js";
import { bodyOf, Framing } from "./layout.js";
import { Overlay } from "./overlay.js";
import { Panel } from "./panel.js";
import { Pointer } from "./pointer.js";
import { MAPS } from "./colours.js";
import { around, Turntable } from "./turning.js";

const FIRST_SLICE = 0.6; // of the height: the chest
const DRAG_PIXELS = 5, SLICE_PIXELS = 8; // of a drag, for a step of turning; of a finger, for a slice
const IDS = { coronalSlice: "coronal-slice", sagittalSlice: "sagittal-slice" };
const WINDOW = { low: 0, high: 10 };
const CT = { share: 0.5, low: -160, high: 240 };

// Events: "seed" (a click), "hover", "window", "look" (the cross was moved), "turn".
export class Viewer extends EventTarget {
  patient = null;
  cross = null; // voxel (x, y, z) that the slices go through
  hovered = null;
  ct = { shown: false, ...CT };
  #dragged = 0;

  constructor(root) {
    super();
    this.root = root;
    this.table = new Turntable();
    this.overlay = new Overlay(this);
    this.panels = {};
    for (const name of Object.keys(PICTURES)) {
      const panel = (this.panels[name] = new Panel(root.querySelector(`#${IDS[name] ?? name}`)));
      panel.mark((...on) => this.overlay.draw(name, ...on), (toScreen) => this.overlay.places(name, toScreen), () => this.overlay.isEmpty(name));
      new Pointer(panel, this.#gestures(name));
    }
    this.framing = new Framing(root.querySelector(".views"), this.panels, (...at) => this.onPicture(...at));
    this.map = "inverse grey";
    this.setWindow(WINDOW.low, WINDOW.high);
    this.table.addEventListener("turn", () => this.patient && this.#fill());
    new ResizeObserver(() => this.framing.layOut()).observe(root.querySelector(".views"));
  }

  // A patient who comes next: what of the first slices can be fetched and computed is done before.
  prepare(patient) {
    patient.body ??= bodyOf(patient);
    const start = startOf(patient);
    for (const axis of [0, 1, 2]) slice(patient, axis, start[axis], "pet", () => {});
  }

  // Resolves when both MIPs are on the screen.
  show(patient) {
    this.patient = patient;
    this.hovered = null;
    this.table.of(patient);
    this.overlay.clear();
    patient.body ??= bodyOf(patient);
    this.cross = startOf(patient);
    this.framing.of(patient, patient.body);
    this.#fill();
    this.look(this.cross);
    return painted();
  }

  clear() {
    this.table.stop();
    this.patient = null;
    for (const panel of Object.values(this.panels)) panel.clear();
  }

  refresh(what = "overlay") {
    for (const panel of Object.values(this.panels)) panel.refresh(what);
  }

  setWindow(low, high) {
    this.low = Math.min(Math.max(low, 0), 5);
    this.high = Math.min(Math.max(high, this.low + 0.5), 40);
    const { map } = this;
    for (const panel of Object.values(this.panels)) panel.window({ low: this.low, high: this.high, map: panel.ct ? "hot" : map });
    this.dispatchEvent(new Event("window"));
  }

  scaleWindow(by) {
    this.setWindow(this.low, this.high * by);
  }

  setMap(map) {
    this.map = map;
    this.setWindow(this.low, this.high);
  }

  nextMap() {
    const names = Object.keys(MAPS);
    this.setMap(names[(names.indexOf(this.map) + 1) % names.length]);
  }

  // PET over CT on the slices; share: of the PET.
  fuse({ shown = this.ct.shown, share = this.ct.share }) {
    Object.assign(this.ct, { shown, share });
    this.#drawSlices();
    this.setWindow(this.low, this.high);
  }

  // The next slice up or down, by the patient's axes: x right, y anterior, z superior.
  // since: when it was asked for, to be measured.
  step(by, axis = 2, since = 0) {
    if (!this.patient) return;
    const cross = [...this.cross];
    cross[axis] += by;
    const here = this.look(cross);
    if (since && here) painted().then(() => measure("slice", since));
  }

  // Move the cross: the slices go through it. Whether all of them are here already.
  look(voxel) {
    const { patient } = this;
    if (!patient) return false;
    const before = this.cross;
    this.cross = voxel.map((v, axis) => Math.min(Math.max(Math.round(v), 0), patient.shape[axis] - 1));
    this.framing.follow(this.cross);
    const here = this.#drawSlices();
    for (const [name, { across }] of Object.entries(PICTURES)) this.panels[name].refresh(before?.[across] === this.cross[across] ? "places" : "overlay");
    this.dispatchEvent(new Event("look"));
    return here;
  }

  // Turn by steps; the front again, with everything as large as fits.
  turn(steps) {
    return this.table.turn(steps);
  }

  front() {
    this.framing.reset();
    return this.table.front();
  }

  // Where a voxel position (from the edge) lies on a picture, as it is turned now.
  onPicture(name, position) {
    const { axes } = PICTURES[name], across = VIEWS[name] && this.table.views[name].across;
    return across ? [across(position[0], position[1]), position[2]] : axes.map((axis) => position[axis]);
  }

  // The voxel at a place on a picture.
  #voxel(name, [u, v]) {
    const { axes, across } = PICTURES[name];
    if (across === undefined) return this.table.views[name].lift(Math.floor(u), Math.floor(v));
    const voxel = [...this.cross];
    [voxel[axes[0]], voxel[axes[1]]] = [Math.floor(u), Math.floor(v)];
    return voxel;
  }

  #gestures(name) {
    const panel = this.panels[name], { across } = PICTURES[name], slices = across !== undefined;
    return {
      hover: (at) => this.#hover(this.#voxel(name, at), panel.value(...at.map(Math.floor))),
      leave: () => this.#hover(null),
      click: (at, event) => this.dispatchEvent(new CustomEvent("seed", { detail: { voxel: this.#voxel(name, at), time: event.timeStamp } })),
      look: (at) => this.look(this.#voxel(name, at)),
      wheel: (steps, since) => this.step(-steps, slices ? across : 2, since),
      drag: (along, by, touch) => this.#drag(slices, across, along, by, touch),
      pan: (dx, dy) => this.framing.pan(name, dx, dy),
      zoom: (factor, at) => this.framing.zoom(name, factor, at),
      measures: () => this.overlay.measuring,
      measure: (from, to) => this.overlay.measure(name, from, to),
    };
  }

  #drag(slices, across, along, by, touch) {
    if (slices && touch && along === "y") return this.#steps(by, SLICE_PIXELS, (steps) => this.step(steps, across));
    if (!slices && along === "x") return this.#steps(by, DRAG_PIXELS, (steps) => this.table.drag(steps));
    if (along === "y") this.scaleWindow(Math.exp(-by / 160));
  }

  #steps(by, pixels, run) {
    this.#dragged += by;
    const steps = Math.trunc(this.#dragged / pixels);
    this.#dragged -= steps * pixels;
    if (steps) run(steps);
  }

  #hover(voxel, suv) {
    this.hovered = voxel;
    this.refresh("places");
    this.dispatchEvent(new CustomEvent("hover", { detail: voxel && { voxel, suv } }));
  }

  #fill() {
    const { table } = this;
    for (const name of Object.keys(VIEWS)) {
      const panel = this.panels[name], { mip, size, spacing } = table.views[name];
      panel.show(mip, size, spacing, this.patient.suv_step);
      panel.figure.classList.toggle("turned", table.turning);
      const angle = around(table.degrees + (name === "sagittal" ? 90 : 0));
      panel.name(ends(angle), `${angle}°`);
    }
    this.framing.turn(table.turning);
    this.dispatchEvent(new Event("turn"));
  }

  #drawSlices() {
    const { patient } = this, of = this.ct.shown && patient.ct;
    let all = true;
    for (const [name, { axes, across }] of Object.entries(PICTURES)) {
      if (across === undefined) continue;
      const index = this.cross[across], again = () => this.patient === patient && this.cross[across] === index && this.#drawSlices();
      const numbers = slice(patient, across, index, "pet", again);
      const hounsfield = of ? slice(patient, across, index, "ct", again) : null;
      const panel = this.panels[name];
      if (!numbers || (of && !hounsfield)) {
        all = false;
        if (panel.patient !== patient) panel.clear(); // not the slice of the one before
        continue;
      }
      panel.patient = patient;
      const fused = of ? { ...this.ct, numbers: hounsfield } : null;
      if (Boolean(panel.ct) !== Boolean(fused)) panel.window({ low: this.low, high: this.high, map: fused ? "hot" : this.map });
      panel.show(numbers, axes.map((axis) => patient.shape[axis]), axes.map((axis) => patient.spacing[axis]), patient.suv_step, fused);
    }
    return all;
  }
}

const startOf = ({ shape, body: { x, y } }) => [(x[0] + x[1]) / 2, (y[0] + y[1]) / 2, shape[2] * FIRST_SLICE].map(Math.round);
