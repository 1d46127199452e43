// One picture (a MIP, a slice) with marks above it. The picture is redrawn when it or the window changes, the marks when
// they do. The cross and the ring under the pointer are elements of their own: to hand five canvases to the screen at each
// step took more than half of its time. Both axes run against the screen: the patient's right, or front, is on the left, and up is up.
import { fused, table } from "./colours.js";

export class Panel {
  constructor(figure) {
    [this.image, this.overlay] = figure.querySelectorAll("canvas");
    this.figure = figure;
    this.source = document.createElement("canvas");
    this.size = null;
    this.marks = () => {};
    this.places = () => ({ cross: null, ring: null });
    this.isUnmarked = () => true;
    this.stale = { image: false, overlay: false, places: false };
    [this.cross, this.ring] = ["crosshair", "ring"].map((name) => Object.assign(document.createElement("div"), { className: name, hidden: true }));
    this.overlay.after(this.cross, this.ring);
    this.ct = null; // { numbers in HU, share of the PET, low, high }
  }

  // numbers: Uint16Array (u, v), v running fastest. spacing: mm. step: SUV of one.
  show(numbers, size, spacing, step, ct = null) {
    if (this.#isShown(numbers, size, step, ct)) return;
    if (this.step !== step) this.shades = null;
    Object.assign(this, { numbers, size, spacing, step, ct });
    if (this.source.width !== size[0] || this.source.height !== size[1] || !this.pixels) {
      [this.source.width, this.source.height] = size;
      this.pixels = new ImageData(...size);
    }
    this.#aim();
    this.refresh();
  }

  // Whether it is on the screen already.
  #isShown(numbers, size, step, ct) {
    const alike = (one, other) => one?.buffer === other?.buffer && one?.byteOffset === other?.byteOffset && one?.length === other?.length;
    const here = this.size && this.step === step && this.size.every((n, axis) => n === size[axis]);
    return here && alike(numbers, this.numbers) && alike(ct?.numbers, this.ct?.numbers) && ct?.share === this.ct?.share;
  }

  // What stands at the left and the right end, and from where the picture is seen.
  name([left, right], angle) {
    this.figure.querySelector(".end.left").textContent = left;
    this.figure.querySelector(".end.right").textContent = right;
    this.figure.querySelector(".angle").textContent = angle;
  }

  clear() {
    this.size = null;
    this.cross.hidden = this.ring.hidden = true;
    for (const canvas of [this.image, this.overlay]) canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
  }

  // Where it is on the screen, CSS pixels.
  place([left, top, width, height]) {
    Object.assign(this.figure.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
    if (this.width !== width || this.height !== height || this.ratio !== devicePixelRatio) {
      Object.assign(this, { width, height, ratio: devicePixelRatio });
      for (const canvas of [this.image, this.overlay]) {
        canvas.width = Math.round(width * devicePixelRatio);
        canvas.height = Math.round(height * devicePixelRatio);
      }
    }
    this.#aim();
    this.refresh();
  }

  // centre: (u, v) voxels from the edge, in the middle of the screen. scale: mm of a CSS pixel.
  aim(centre, scale) {
    if (this.scale === scale && this.centre?.every((v, axis) => v === centre[axis])) return;
    Object.assign(this, { centre, scale });
    this.#aim();
    this.refresh();
  }

  // What of the picture is seen: `box`, [u0, v0, u1, v1].
  #aim() {
    if (!this.size || !this.width || !this.centre) return;
    const half = [this.width, this.height].map((length, axis) => (length * this.scale) / this.spacing[axis] / 2);
    this.box = [this.centre[0] - half[0], this.centre[1] - half[1], this.centre[0] + half[0], this.centre[1] + half[1]];
    this.figure.dataset.box = this.box.map((v) => v.toFixed(3)).join(" ");
  }

  window(window) {
    this.grey = window;
    this.shades = null;
    this.refresh("image");
  }

  // marks: (context, toScreen) => draws, in CSS pixels.
  // places: (toScreen) => { cross, ring }: where these are, CSS pixels; null is nowhere. isUnmarked: whether `marks` would
  // draw nothing.
  mark(marks, places, isUnmarked) {
    Object.assign(this, { marks, places, isUnmarked });
    this.refresh("overlay");
  }

  // what: "image", "overlay", or "places" of cross and ring alone; all without it.
  refresh(what) {
    if (!this.stale.image && !this.stale.overlay && !this.stale.places) requestAnimationFrame(() => this.draw());
    this.stale.places = true;
    if (!what || what === "image") this.stale.image = true;
    if (!what || what === "overlay") this.stale.overlay = true;
  }

  // Voxels from the edge of the volume → CSS pixels.
  toScreen = ([u, v]) => {
    const [u0, v0, u1, v1] = this.box;
    return [((u1 - u) / (u1 - u0)) * this.width, ((v1 - v) / (v1 - v0)) * this.height];
  };

  // SUV of a pixel (whole numbers).
  value(u, v) {
    return this.numbers[u * this.size[1] + v] * this.step;
  }

  draw() {
    const { image, overlay } = this.stale;
    this.stale = { image: false, overlay: false, places: false };
    if (!this.size || !this.box) return;
    const places = this.places(this.toScreen);
    for (const name of ["cross", "ring"]) put(this[name], places[name]);
    if (image) this.#drawImage();
    if (!overlay) return;
    this.overlay.hidden = this.isUnmarked(); // an empty canvas, too, takes its time on the way to the screen
    if (this.overlay.hidden) return;
    const context = this.overlay.getContext("2d");
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    this.marks(context, this.toScreen);
  }

  #drawImage() {
    const [nu, nv] = this.size;
    this.shades ??= table(this.grey, this.step);
    const out = new Uint32Array(this.pixels.data.buffer), { numbers, shades, ct } = this;
    if (ct) fused(numbers, ct.numbers, out, (i) => (nu - 1 - (i % nu)) * nv + (nv - 1 - Math.floor(i / nu)), { ...ct, shades });
    else
      for (let u = 0; u < nu; u++)
        for (let v = 0, at = nu * nv - 1 - u; v < nv; v++, at -= nu) out[at] = shades[numbers[u * nv + v]];
    this.source.getContext("2d").putImageData(this.pixels, 0, 0);
    const context = this.image.getContext("2d");
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    const [r, g, b] = [shades[0] & 255, (shades[0] >> 8) & 255, (shades[0] >> 16) & 255];
    context.fillStyle = ct ? "#000" : `rgb(${r} ${g} ${b})`;
    context.fillRect(0, 0, this.width, this.height);
    context.imageSmoothingQuality = "medium";
    const [left, top] = this.toScreen([nu, nv]), [right, bottom] = this.toScreen([0, 0]);
    context.drawImage(this.source, left, top, right - left, bottom - top);
  }

  // The place under a pointer, voxels from the edge; null outside the picture.
  at(event) {
    if (!this.size || !this.box) return null;
    const { left, top } = this.figure.getBoundingClientRect();
    const [u0, v0, u1, v1] = this.box;
    const u = u1 - ((event.clientX - left) / this.width) * (u1 - u0);
    const v = v1 - ((event.clientY - top) / this.height) * (v1 - v0);
    return u < 0 || v < 0 || u >= this.size[0] || v >= this.size[1] ? null : [u, v];
  }
}

function put(element, place) {
  element.hidden = !place;
  if (!place) return;
  element.style.setProperty("--x", `${place[0].toFixed(1)}px`);
  element.style.setProperty("--y", `${place[1].toFixed(1)}px`);
}
