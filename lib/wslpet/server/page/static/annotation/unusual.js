// What differs from normal uptake, over the MIPs; asked for once a patient.
import { call, image } from "../common/api.js";
import { failed } from "../common/notices.js";

const button = document.querySelector("#show-unusual");

export class Unusual {
  shown = false;
  #patient = null;
  #known = new Map(); // image → promise of the maps

  constructor(viewer) {
    this.viewer = viewer;
  }

  // Of another patient from now on.
  of(patient) {
    this.#patient = patient;
    this.#draw();
  }

  toggle() {
    this.shown = !this.shown;
    this.#draw();
  }

  async #draw() {
    const { viewer } = this, patient = this.#patient;
    button.setAttribute("aria-pressed", this.shown);
    viewer.overlay.unusual = null;
    viewer.refresh();
    if (!patient || !this.shown) return;
    try {
      const { maps, people, of_site } = await this.#of(patient.image);
      if (this.#patient !== patient || !this.shown) return;
      button.title = `Above the normal uptake of ${people} ${of_site ? "patients of this site" : "phantoms"}`;
      viewer.overlay.unusual = maps;
      viewer.refresh();
    } catch (error) {
      failed(error, { key: "unusual" });
    }
  }

  #of(name) {
    if (!this.#known.has(name)) {
      const asked = call(`${image(name)}/unusual`);
      asked.catch(() => this.#known.delete(name));
      this.#known.set(name, asked);
    }
    return this.#known.get(name);
  }
}
