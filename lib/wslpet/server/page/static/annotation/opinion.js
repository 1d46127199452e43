// What the model thinks of the patient on the screen; hidden until asked for, so that it does not sway the annotator.
import { call, image } from "../common/api.js";
import { toVoxel } from "../views/geometry.js";
import { decoded } from "../views/lesion.js";
import { notice } from "../common/notices.js";
import { figures } from "./sheet.js";

const $ = (selector) => document.querySelector(selector);

export class Opinion {
  shown = false;
  #cam = true;
  #patient = null;
  #known = new Map(); // image → promise of a prediction

  constructor(viewer, root) {
    Object.assign(this, { viewer, root });
  }

  // Of another patient from now on.
  of(patient) {
    this.#patient = patient;
    this.#draw(!this.viewer.overlay.seed);
  }

  toggle() {
    this.shown = !this.shown;
    this.#draw(true);
  }

  toggleCam() {
    this.#cam = !this.#cam || !this.shown;
    this.shown = true;
    this.#draw();
  }

  // New weights: what the old ones said is void.
  renew(version) {
    this.#known.clear();
    notice(`A new model (${version.slice(0, 6)}) is in use; its predictions are shown from now on.`, { key: "model" });
    this.#draw();
  }

  // The server answers again: ask for what it did not say.
  again() {
    if (this.shown && !this.viewer.overlay.model) this.#draw();
  }

  // A prediction, asked for once.
  about(name) {
    if (!this.#known.has(name)) {
      const asked = call(`${image(name)}/prediction`);
      asked.catch(() => this.#known.delete(name));
      this.#known.set(name, asked);
    }
    return this.#known.get(name);
  }

  // go: bring the slices to the model's lesion.
  async #draw(go = false) {
    const { viewer, root } = this, patient = this.#patient;
    $("#show-model").setAttribute("aria-pressed", this.shown);
    $("#show-cam").setAttribute("aria-pressed", this.shown && this.#cam);
    viewer.overlay.model = null;
    viewer.refresh();
    delete root.dataset.model;
    if (!patient || !this.shown) return this.#say("");
    this.#say("The model is looking…");
    try {
      const said = await this.about(patient.image);
      if (this.#patient !== patient || !this.shown) return;
      viewer.overlay.model = { lesion: said.lesion && decoded(said.lesion.mask), cams: this.#cam ? said.cams : {} };
      viewer.refresh();
      if (said.lesion && go) viewer.look(toVoxel(patient.affine, said.lesion.centroid));
      this.#say(inWords(said));
      root.dataset.model = said.model_version;
    } catch (error) {
      if (this.#patient === patient) this.#say(error.status === 0 ? "" : error.message);
    }
  }

  #say(text) {
    $("#opinion").textContent = text;
  }
}

function inWords(said) {
  const sure = `${said.cancer_type} ${Math.round(100 * said.probabilities[said.cancer_type])} %`;
  const confidence = said.confidence === null ? "" : `, confidence ${said.confidence.toFixed(2)}`;
  if (!said.lesion) return `Model: ${sure}${confidence}; no lesion.`;
  return `Model: ${sure}${confidence}. ${figures(said.lesion).map((pair) => pair.join(" ")).join(", ")}.`;
}
