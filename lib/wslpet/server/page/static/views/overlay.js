// What is marked above the pictures: lesions, the cross, the height of the slice, the model's view, a ruler.
import { PICTURES, VIEWS } from "./geometry.js";
import { section, shadow, silhouette } from "./lesion.js";
import { crossedOut, cross, drawHeat, fill, heat, label, outline, ruler, turnedHeat } from "./marks.js";

export class Overlay {
  hidden = false;
  measuring = false;
  seeds = []; // voxels (x, y, z)
  background = []; // voxels that are said to be no tumour
  lesions = []; // [{ mask as lesion.js decodes it, label, chosen }]
  readings = []; // of several readers: the masks of each
  unusual = null; // { coronal, sagittal } as the server sends them: shown in place of the CAMs
  model = null; // { masks, cams: { coronal, sagittal } as the server sends them } as far as they are to be seen
  #ruler = null; // { name, from, to }: where it was drawn, voxels from the edge of the picture
  #loops = new WeakMap(); // mask → { where: loops }
  #heats = new Map(); // angle → { cams, coronal, sagittal }: the CAMs as seen from there

  constructor(viewer) {
    this.viewer = viewer;
  }

  clear() {
    Object.assign(this, { seeds: [], background: [], lesions: [], readings: [], model: null, unusual: null });
    this.#ruler = null;
    this.#heats.clear();
  }

  // Hide all marks, to see what is under them.
  toggle() {
    this.hidden = !this.hidden;
    this.viewer.root.dataset.hidden = this.hidden;
    this.viewer.refresh();
  }

  // Measure, or no longer.
  toggleRuler() {
    this.measuring = !this.measuring;
    this.#ruler = null;
    this.viewer.root.classList.toggle("measuring", this.measuring);
    this.viewer.refresh();
  }

  measure(name, from, to) {
    const { spacing } = this.viewer.panels[name];
    const length = Math.hypot(...from.map((v, n) => (v - to[n]) * spacing[n]));
    this.#ruler = { name, from, to, text: `${length.toFixed(1)} mm` };
    this.viewer.root.dataset.ruler = this.#ruler.text;
    this.viewer.refresh();
  }

  draw(name, context, toScreen) {
    const { viewer } = this, { across } = PICTURES[name], mip = across === undefined;
    if (this.hidden || !viewer.cross) return;
    const cam = mip ? this.#heat(name) : null;
    if (cam) drawHeat(context, toScreen, cam);
    for (const { mask, label: text, chosen } of this.lesions) {
      const loops = this.#outline(name, mask);
      fill(context, toScreen, loops, "yours");
      outline(context, toScreen, loops, chosen ? "chosen" : "yours");
      if (mip && text) label(context, toScreen, loops, text);
    }
    for (const [n, masks] of this.readings.entries()) for (const mask of masks) outline(context, toScreen, this.#outline(name, mask), `reader${n % 2}`);
    for (const mask of this.model?.masks ?? []) outline(context, toScreen, this.#outline(name, mask), "model");
    for (const [voxels, mark] of [[this.seeds, cross], [this.background, crossedOut]])
      for (const voxel of voxels) if (mip || Math.abs(voxel[across] - viewer.cross[across]) < 0.6) mark(context, toScreen(viewer.onPicture(name, middle(voxel))), "yours");
    if (this.#ruler?.name === name) ruler(context, toScreen(this.#ruler.from), toScreen(this.#ruler.to), this.#ruler.text);
  }

  isEmpty(name) {
    const { lesions, readings, model, unusual, seeds, background } = this;
    return this.hidden || (!model && !unusual && this.#ruler?.name !== name && [lesions, readings, seeds, background].every((some) => !some.length));
  }

  // The cross of the slices; and the ring of what the pointer is on: on the MIPs wherever it is, on a slice that it lies in.
  places(name, toScreen) {
    const { hovered, cross: at } = this.viewer, { across } = PICTURES[name];
    const on = (voxel) => toScreen(this.viewer.onPicture(name, middle(voxel)));
    const inside = hovered && (across === undefined || Math.round(hovered[across]) === at[across]);
    return { cross: this.hidden || !at ? null : on(at), ring: this.hidden || !inside ? null : on(hovered) };
  }

  // Loops of a lesion on a picture, traced once.
  #outline(name, mask) {
    const { cross: at, table } = this.viewer, { across } = PICTURES[name];
    const where = across === undefined ? `${name} ${table.degrees}` : `${name} ${at[across]}`;
    if (!this.#loops.has(mask)) this.#loops.set(mask, {});
    const kept = this.#loops.get(mask);
    if (!kept[where]) {
      const view = table.views[name];
      if (across !== undefined) kept[where] = section(mask, across, at[across]);
      else kept[where] = view.across ? shadow(mask, view.across, view.size) : silhouette(mask, VIEWS[name].ray);
    }
    return kept[where];
  }

  // The CAMs, or what is unusual, as they look from the side that is on the screen.
  #heat(view) {
    const cams = this.unusual ?? this.model?.cams, { degrees, views } = this.viewer.table;
    if (!cams?.[view]) return null;
    if (this.#heats.get(degrees)?.cams !== cams) this.#heats.set(degrees, { cams });
    const seen = this.#heats.get(degrees);
    seen[view] ??= degrees === 0 ? heat(cams[view]) : turnedHeat(cams, views[view]);
    return seen[view];
  }
}

const middle = (voxel) => voxel.map((v) => v + 0.5);
