// Mouse, pen and fingers on a picture → what is meant by them.
const DRAG_PIXELS = 5, NOTCH_PIXELS = 60, ZOOM_PIXELS = 300;

// Gestures of one figure. `panel.at(event)` gives the place under a pointer, or null. do: functions by name:
//   hover(at), leave(), click(at, event), look(at): show only, drag(along, by, touch), pan(dx, dy), zoom(factor, at),
//   wheel(steps, since), measure(from, to): while `measures()`.
export class Pointer {
  #down = new Map(); // pointerId → [x, y]
  #from = null;
  #along = null;
  #kind = ""; // of the gesture: "drag", "pan", "pinch", "measure"
  #rolled = 0;

  constructor(panel, actions) {
    Object.assign(this, { panel, actions });
    const { figure } = panel;
    const on = (name, run, options) => figure.addEventListener(name, run, options);
    on("pointerdown", (event) => this.#press(event));
    on("pointermove", (event) => this.#move(event));
    on("pointerup", (event) => this.#release(event));
    on("pointercancel", (event) => { this.#down.delete(event.pointerId); this.#kind = ""; });
    on("pointerleave", () => { if (!this.#down.size) actions.leave(); });
    on("contextmenu", (event) => event.preventDefault());
    on("wheel", (event) => this.#roll(event), { passive: false });
  }

  #press(event) {
    this.panel.figure.setPointerCapture(event.pointerId);
    this.#down.set(event.pointerId, [event.clientX, event.clientY]);
    if (this.#down.size === 2) return void (this.#kind = "pinch");
    this.#from = [event.clientX, event.clientY];
    this.#along = null;
    this.start = this.panel.at(event);
    this.#kind = event.button === 1 || event.shiftKey ? "pan" : "drag";
    if (!event.button && this.start && this.actions.measures()) this.#kind = "measure";
    if (event.button === 1) event.preventDefault(); // no scrolling by the middle button
  }

  #move(event) {
    const at = this.panel.at(event);
    if (!this.#down.has(event.pointerId)) return void (at && this.actions.hover(at));
    const before = [...this.#down.values()];
    this.#down.set(event.pointerId, [event.clientX, event.clientY]);
    if (this.#kind === "pinch") return this.#pinch(before, [...this.#down.values()]);
    if (this.#kind === "measure") return void (at && this.actions.measure(this.start, at));
    const moved = [event.clientX - this.#from[0], event.clientY - this.#from[1]];
    if (!this.#along && Math.hypot(...moved) > DRAG_PIXELS) this.#along = Math.abs(moved[0]) > Math.abs(moved[1]) ? "x" : "y";
    if (!this.#along) return;
    this.#from = [event.clientX, event.clientY];
    if (this.#kind === "pan") this.actions.pan(...moved);
    else if (event.buttons !== 2) this.actions.drag(this.#along, this.#along === "x" ? moved[0] : moved[1], event.pointerType === "touch");
  }

  #pinch(before, after) {
    if (after.length < 2 || before.length < 2) return;
    const span = ([[ax, ay], [bx, by]]) => Math.hypot(ax - bx, ay - by);
    const middle = ([[ax, ay], [bx, by]]) => [(ax + bx) / 2, (ay + by) / 2];
    const [x0, y0] = middle(before), [x1, y1] = middle(after);
    this.actions.pan(x1 - x0, y1 - y0);
    this.actions.zoom(span(after) / Math.max(span(before), 1), this.panel.at({ clientX: x1, clientY: y1 }));
  }

  #release(event) {
    const at = this.panel.at(event), still = this.#down.size === 1 && !this.#along;
    const kind = this.#kind;
    this.#down.delete(event.pointerId);
    if (!this.#down.size) this.#kind = "";
    if (!still || !at || kind === "pinch" || kind === "measure") return;
    if (event.button === 2 || event.shiftKey) this.actions.look(at);
    else if (!event.button) this.actions.click(at, event);
  }

  // A notch of a wheel is one step; a touchpad's small movements add up to steps.
  #roll(event) {
    event.preventDefault();
    if (event.ctrlKey) return this.actions.zoom(Math.exp(-event.deltaY / ZOOM_PIXELS), this.panel.at(event));
    if (event.deltaMode || Math.abs(event.deltaY) >= NOTCH_PIXELS) return this.actions.wheel(Math.sign(event.deltaY), event.timeStamp);
    this.#rolled += event.deltaY;
    const steps = Math.trunc(this.#rolled / (NOTCH_PIXELS / 2));
    this.#rolled -= (steps * NOTCH_PIXELS) / 2;
    if (steps) this.actions.wheel(steps, event.timeStamp);
  }
}
