// How the pictures look: SUV window, colours, marks, ruler, cine, CT.
import { MAPS } from "../views/colours.js";

export const PRESETS = [5, 7, 10, 15]; // upper ends of the SUV window
const $ = (selector) => document.querySelector(selector);

export class Controls {
  constructor(viewer) {
    this.viewer = viewer;
    $("#presets").replaceChildren(...PRESETS.map((high) => this.#preset(high)));
    $("#map").replaceChildren(...Object.keys(MAPS).map((name) => new Option(name)));
    $("#map").addEventListener("change", ({ target }) => { viewer.setMap(target.value); target.blur(); });
    for (const end of ["low", "high"]) $(`#${end}`).addEventListener("input", () => viewer.setWindow(Number($("#low").value), Number($("#high").value)));
    $("#cine").addEventListener("click", () => this.cine());
    $("#marks").addEventListener("click", () => this.marks());
    $("#ruler").addEventListener("click", () => this.ruler());
    $("#show-ct").addEventListener("click", () => this.ct());
    $("#ct-share").addEventListener("input", ({ target }) => viewer.fuse({ shown: true, share: Number(target.value) }));
    for (const event of ["window", "turn"]) viewer.addEventListener(event, () => this.draw());
    this.draw();
  }

  // Whether a patient has a CT.
  of({ ct }) {
    $("#fusion").hidden = !ct;
    this.draw();
  }

  nextPreset() {
    const { low, high } = this.viewer;
    const next = low === 0 ? PRESETS.find((end) => end > high) ?? PRESETS[0] : PRESETS[0];
    this.viewer.setWindow(0, next);
  }

  cine() {
    this.viewer.table.toggle();
    this.draw();
  }

  marks() {
    this.viewer.overlay.toggle();
    this.draw();
  }

  ruler() {
    this.viewer.overlay.toggleRuler();
    this.draw();
  }

  ct() {
    if (!this.viewer.patient?.ct) return;
    this.viewer.fuse({ shown: !this.viewer.ct.shown });
    this.draw();
  }

  draw() {
    const { low, high, map, table, overlay, ct } = this.viewer;
    [$("#low").value, $("#high").value] = [low, high];
    [$("#low-text").value, $("#high-text").value] = [low.toFixed(1), high.toFixed(1)];
    $("#map").value = map;
    for (const button of $("#presets").children) button.setAttribute("aria-pressed", low === 0 && high === Number(button.value));
    $("#cine").setAttribute("aria-pressed", table.cine);
    $("#marks").setAttribute("aria-pressed", !overlay.hidden);
    $("#ruler").setAttribute("aria-pressed", overlay.measuring);
    $("#show-ct").setAttribute("aria-pressed", ct.shown);
    $("#ct-share").value = ct.share;
  }

  #preset(high) {
    const button = Object.assign(document.createElement("button"), { textContent: `0–${high}`, value: high });
    button.addEventListener("click", () => this.viewer.setWindow(0, high));
    return button;
  }
}
