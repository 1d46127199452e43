// The lesions on the desk of one patient: clicks, the server's contours, and what the reader changes about them.
import { aborted, call, image } from "../common/api.js";
import { measure, painted } from "../common/measure.js";
import { failed } from "../common/notices.js";
import { toVoxel, toWorld } from "../views/geometry.js";
import { decoded } from "../views/lesion.js";
import { added, contoured, cut, empty, primary, removed, sameLesions, typed } from "./desk.js";
import { LesionList } from "./lesions.js";

const $ = (selector) => document.querySelector(selector);

// Event "edit": the reader changed something.
export class LesionDesk extends EventTarget {
  patient = null;
  desk = empty();
  before = []; // the desk before each change
  found = null; // the lesions of the desk, as the server delineated them, with `masks`
  chosen = 0; // which of them
  tried = {}; // of the lesions on the screen: { trouble, doubt } in words, and whether the doubt was asked about
  #cutting = false; // the next click is "not this part"
  #foundOf = empty();
  #request = null;

  constructor(viewer, configuration, say) {
    super();
    Object.assign(this, { viewer, configuration, say });
    this.list = new LesionList(configuration.contour_methods, {
      choose: (n) => this.choose(n), remove: (n) => this.remove(n), primary: (n) => this.makePrimary(n),
    });
    const on = (id, event, run) => $(`#${id}`).addEventListener(event, run);
    on("grow", "click", () => this.contour({ by: 1 }));
    on("shrink", "click", () => this.contour({ by: -1 }));
    on("not-this", "click", () => this.toggleCut());
    on("method", "change", ({ target }) => { this.contour({ method: target.value }); target.blur(); });
  }

  // Of another patient from now on, or of none.
  of(patient) {
    Object.assign(this, { patient, desk: empty(), before: [], chosen: 0, tried: {} });
    this.#outlined(null);
  }

  // What was said before, not to be taken back.
  put(desk) {
    this.desk = desk;
    if (desk.seeds.length) this.viewer.look(this.#voxel(desk.seeds.at(-1)));
    this.delineate();
    this.#draw();
  }

  choose(n) {
    const lesion = this.found?.lesions[n];
    if (!lesion) return;
    this.chosen = n;
    this.viewer.look(toVoxel(this.patient.affine, lesion.centroid));
    this.#draw();
  }

  // By its number among the classes.
  chooseType(number) {
    const type = this.configuration.classes[number];
    if (type && this.patient) this.change(typed(this.desk, type));
  }

  // Take findings of the model over: positions in mm, the type where none is chosen yet.
  accept(positions, type) {
    if (this.patient) this.change(added({ ...this.desk, type: this.desk.type ?? type }, ...positions));
  }

  next() {
    if (this.found) this.choose((this.chosen + 1) % this.found.lesions.length);
  }

  remove(n = this.chosen) {
    if (this.found?.lesions[n]) this.change(removed(this.desk, this.found.lesions[n].seeds));
    else if (this.desk.seeds.length) this.change(removed(this.desk, [this.desk.seeds.length - 1])); // one that was refused
  }

  makePrimary(n = this.chosen) {
    if (!this.found?.lesions[n]) return;
    this.chosen = 0;
    this.change(primary(this.desk, this.found.lesions[n].seeds));
  }

  // A larger (1) or smaller (-1) contour of the chosen lesion, or one by another method.
  contour(what) {
    const lesion = this.found?.lesions[this.chosen];
    if (lesion) this.change(contoured(this.desk, lesion.seeds, what));
  }

  nextMethod() {
    const methods = this.configuration.contour_methods, lesion = this.found?.lesions[this.chosen];
    if (lesion) this.contour({ method: methods[(methods.indexOf(lesion.contour.method) + 1) % methods.length] });
  }

  // The next click says what is not tumour.
  toggleCut(cutting = !this.#cutting) {
    this.#cutting = cutting && Boolean(this.found);
    $("#not-this").setAttribute("aria-pressed", this.#cutting);
    this.viewer.root.classList.toggle("cutting", this.#cutting);
  }

  // As a reader does it, to be taken back with Z.
  change(desk, since) {
    this.before.push(this.desk);
    this.desk = desk;
    this.dispatchEvent(new Event("edit"));
    this.#draw();
    this.delineate(since);
  }

  // A click: another lesion; in one that is there, choose it; or, when asked for, what is not tumour.
  click(voxel, since) {
    const { patient, found } = this;
    if (!patient) return;
    const position = toWorld(patient.affine, voxel), there = found?.masks.findIndex((mask) => holds(mask, voxel)) ?? -1;
    // The contour is asked for before the slices there, which would hold the server up.
    if (this.#cutting) {
      this.toggleCut(false);
      this.change(cut(this.desk, position), since);
    } else if (there >= 0) {
      this.chosen = there;
      this.#draw();
    } else {
      this.chosen = Infinity; // the new one
      this.change(added(this.desk, position), since);
    }
    this.viewer.look(voxel);
  }

  // Without a mouse: what a click on the slice would do.
  clickAtCross(since) {
    if (this.viewer.cross) this.click([...this.viewer.cross], since);
  }

  async delineate(since) {
    this.#request?.abort();
    const { patient, desk } = this;
    if (!desk.seeds.length || desk.type === this.configuration.no_tumour) {
      this.tried = {};
      return this.#outlined(null);
    }
    if (this.found && sameLesions(this.#foundOf, desk)) return;
    this.tried = {};
    delete this.viewer.root.dataset.lesion;
    const request = (this.#request = new AbortController());
    const body = { cancer_type: desk.type ?? this.configuration.classes[0], seeds: desk.seeds, background: desk.background };
    try {
      const found = await call(`${image(patient.image)}/delineation`, { method: "POST", body, signal: request.signal });
      if (!sameLesions(this.desk, desk) || this.patient !== patient) return;
      this.#outlined(found);
      const outlined = this.found;
      this.tried = { doubt: found.doubt };
      if (found.doubt) this.say(found.doubt);
      await painted();
      if (since) measure("click-to-lesion", since);
      if (this.found === outlined) this.viewer.root.dataset.lesion = patient.image;
    } catch (error) {
      if (aborted(error) || !sameLesions(this.desk, desk) || this.patient !== patient) return;
      if (error.status === 400) this.tried = { trouble: error.message };
      this.#outlined(null);
      failed(error, { key: "annotate", stays: false });
    }
  }

  // The lesions of the desk, delineated; null: not, or not yet.
  #outlined(found) {
    this.found = found && { ...found, masks: found.lesions.map(({ mask }) => decoded(mask)) };
    this.#foundOf = this.desk;
    if (!found) {
      delete this.viewer.root.dataset.lesion;
      this.toggleCut(false);
    }
    this.chosen = Math.min(this.chosen, Math.max((found?.lesions.length ?? 0) - 1, 0));
    // A contour can grow and shrink only so far: the steps that were made count.
    for (const { seeds, contour } of found?.lesions ?? []) for (const n of seeds) if (this.desk.seeds[n].contour.method === contour.method) this.desk.seeds[n].contour.step = contour.step;
    this.#draw();
  }

  // The list, and the marks on the pictures.
  #draw() {
    const { found, desk, viewer, chosen } = this;
    this.list.draw(found, chosen);
    viewer.overlay.lesions = (found?.masks ?? []).map((mask, n) => ({ mask, label: found.masks.length > 1 ? `${n + 1}` : "", chosen: n === chosen }));
    viewer.overlay.seeds = desk.seeds.map((seed) => this.#voxel(seed));
    viewer.overlay.background = desk.background.map((position) => this.#voxel({ position }));
    viewer.refresh();
    this.viewer.root.dataset.lesions = found?.lesions.length ?? 0;
  }

  #voxel({ position }) {
    return toVoxel(this.patient.affine, position);
  }
}

function holds({ start, shape, inside }, voxel) {
  const [x, y, z] = voxel.map((v, axis) => Math.round(v) - start[axis]);
  return [x, y, z].every((v, axis) => v >= 0 && v < shape[axis]) && inside[(x * shape[1] + y) * shape[2] + z] === 1;
}
