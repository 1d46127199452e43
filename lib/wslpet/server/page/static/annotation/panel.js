// One grey picture (a MIP, a slice) with marks above it. The picture is redrawn when the window changes, the marks when
// they do. Both axes run against the screen: the patient's right, or front, is on the left, and up is up.

const PAPER = 242; // the white of inverse grey; full white glares in a dark room
const DRAG_PIXELS = 5;

export class Panel {
  constructor(figure, { hover, leave, click, drag, wheel }) {
    [this.image, this.overlay] = figure.querySelectorAll("canvas");
    this.figure = figure;
    this.source = document.createElement("canvas");
    this.size = null;
    this.marks = () => {};
    this.stale = { image: false, overlay: false };
    this.#listen(figure, { hover, leave, click, drag, wheel });
  }

  // numbers: Uint16Array (u, v), v running fastest. spacing: mm. step: SUV of one. box: [u0, v0, u1, v1] to show.
  show(numbers, size, spacing, step, box = [0, 0, ...size]) {
    Object.assign(this, { numbers, size, spacing, step, box });
    this.figure.dataset.box = box.join(" ");
    [this.source.width, this.source.height] = size;
    this.pixels = new ImageData(...size);
    this.refresh();
  }

  // What stands at the left and the right end, and from where the picture is seen.
  name([left, right], angle) {
    this.figure.querySelector(".end.left").textContent = left;
    this.figure.querySelector(".end.right").textContent = right;
    this.figure.querySelector(".angle").textContent = angle;
  }

  clear() {
    this.size = null;
    for (const canvas of [this.image, this.overlay]) canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
  }

  get millimetres() {
    const [u0, v0, u1, v1] = this.box;
    return [(u1 - u0) * this.spacing[0], (v1 - v0) * this.spacing[1]];
  }

  // Size on the screen, CSS pixels.
  place(width, height) {
    this.figure.style.width = `${width}px`;
    this.figure.style.height = `${height}px`;
    Object.assign(this, { width, height });
    for (const canvas of [this.image, this.overlay]) {
      canvas.width = Math.round(width * devicePixelRatio);
      canvas.height = Math.round(height * devicePixelRatio);
    }
    this.refresh();
  }

  window(low, high, inverse) {
    this.grey = { low, high, inverse };
    this.refresh("image");
  }

  // marks: (context, toScreen) => draws, in CSS pixels.
  mark(marks) {
    this.marks = marks;
    this.refresh("overlay");
  }

  refresh(what) {
    if (!this.stale.image && !this.stale.overlay) requestAnimationFrame(() => this.draw());
    if (what !== "overlay") this.stale.image = true;
    if (what !== "image") this.stale.overlay = true;
  }

  // Voxels from the edge of the volume → CSS pixels.
  toScreen = ([u, v]) => {
    const [u0, v0, u1, v1] = this.box;
    return [((u1 - u) / (u1 - u0)) * this.width, ((v1 - v) / (v1 - v0)) * this.height];
  };

  value(u, v) {
    return this.numbers[u * this.size[1] + v] * this.step;
  }

  draw() {
    const { image, overlay } = this.stale;
    this.stale = { image: false, overlay: false };
    if (!this.size || !this.width) return;
    if (image) this.#drawImage();
    if (!overlay) return;
    const context = this.overlay.getContext("2d");
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    this.marks(context, this.toScreen);
  }

  #drawImage() {
    const { low, high, inverse } = this.grey;
    const [nu, nv] = this.size;
    const shades = new Uint32Array(65536);
    const scale = this.step / Math.max(high - low, 0.01);
    for (let n = 0; n < 65536; n++) {
      const share = Math.min(Math.max(n * scale - (low * scale) / this.step, 0), 1);
      const grey = Math.round(PAPER * (inverse ? 1 - share : share));
      shades[n] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
    }
    const out = new Uint32Array(this.pixels.data.buffer);
    for (let u = 0; u < nu; u++)
      for (let v = 0, at = nu * nv - 1 - u; v < nv; v++, at -= nu) out[at] = shades[this.numbers[u * nv + v]];
    this.source.getContext("2d").putImageData(this.pixels, 0, 0);
    const context = this.image.getContext("2d");
    context.imageSmoothingQuality = "high";
    const [u0, v0, u1, v1] = this.box;
    context.drawImage(this.source, nu - u1, nv - v1, u1 - u0, v1 - v0, 0, 0, this.image.width, this.image.height);
  }

  // The voxel under a pointer.
  at(event) {
    if (!this.size) return null;
    const { left, top } = this.figure.getBoundingClientRect();
    const [u0, v0, u1, v1] = this.box;
    const u = Math.floor(u1 - ((event.clientX - left) / this.width) * (u1 - u0));
    const v = Math.floor(v1 - ((event.clientY - top) / this.height) * (v1 - v0));
    return u < 0 || v < 0 || u >= this.size[0] || v >= this.size[1] ? null : [u, v];
  }

  #listen(figure, { hover, leave, click, drag, wheel }) {
    let from = null, along = null;
    figure.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      from = [event.clientX, event.clientY];
      along = null;
      figure.setPointerCapture(event.pointerId);
    });
    figure.addEventListener("pointermove", (event) => {
      const at = this.at(event);
      if (!from && at) hover?.(...at);
      if (!from || !drag) return;
      const moved = [event.clientX - from[0], event.clientY - from[1]];
      if (!along && Math.hypot(...moved) > DRAG_PIXELS) along = Math.abs(moved[0]) > Math.abs(moved[1]) ? "x" : "y";
      if (!along) return;
      from = [event.clientX, event.clientY];
      drag(along, along === "x" ? moved[0] : moved[1]);
    });
    figure.addEventListener("pointerup", (event) => {
      const at = this.at(event);
      if (from && !along && at) click?.(...at, event);
      from = null;
    });
    figure.addEventListener("pointercancel", () => { from = null; });
    figure.addEventListener("pointerleave", () => { if (!from) leave?.(); });
    figure.addEventListener("wheel", (event) => {
      if (!wheel) return;
      event.preventDefault();
      wheel(Math.sign(event.deltaY));
    }, { passive: false });
  }
}
