// What the model thinks of the patient on the screen; hidden until asked for, so that it does not sway the annotator.
import { call, image } from "../common/api.js";
import { toVoxel } from "../views/geometry.js";
import { decoded } from "../views/lesion.js";
import { notice } from "../common/notices.js";

const $ = (selector) => document.querySelector(selector);

export class Opinion {
  shown = false;
  #cam = true;
  #patient = null;
  #known = new Map(); // image → promise of a prediction

  // accept(positions, type): take findings over.
  constructor(viewer, root, accept) {
    Object.assign(this, { viewer, root, accept });
  }

  // Of another patient from now on.
  of(patient) {
    this.#patient = patient;
    this.#draw(!this.viewer.overlay.seeds.length);
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
      viewer.overlay.model = { masks: (said.lesion?.lesions ?? []).map(({ mask }) => decoded(mask)), cams: this.#cam ? said.cams : {} };
      viewer.refresh();
      if (said.lesion && go) viewer.look(toVoxel(patient.affine, said.lesion.centroid));
      this.#say(inWords(said));
      this.#offer(said);
      root.dataset.model = said.model_version;
    } catch (error) {
      if (this.#patient === patient) this.#say(error.status === 0 ? "" : error.message);
    }
  }

  // A button for each lesion that the model found, and one for all.
  #offer({ lesion, positions, cancer_type }) {
    const lesions = lesion?.lesions ?? [];
    const buttons = lesions.map((one, n) => button(`+ ${one.volume_ml.toFixed(1)} ml, SUVmax ${one.suv_max.toFixed(1)}, ${Math.round(100 * one.probability)} %`, () => this.accept([positions[n]], cancer_type)));
    if (lesions.length > 1) buttons.push(button(`+ all ${lesions.length}`, () => this.accept(positions, cancer_type)));
    $("#opinion").append(...buttons);
  }

  #say(text) {
    $("#opinion").textContent = text;
  }
}

function button(text, run) {
  const made = Object.assign(document.createElement("button"), { textContent: text, title: "Take it over as a lesion of yours" });
  made.addEventListener("click", run);
  return made;
}

function inWords(said) {
  const any = Math.round(100 * said.lesion_probability);
  if (!said.lesion) return `Model: no lesion found (probability of any lesion: ${any} %).`;
  const sure = `${said.cancer_type} ${Math.round(100 * said.probabilities[said.cancer_type])} %`;
  const confidence = said.confidence === null ? "" : `, confidence ${said.confidence.toFixed(2)}`;
  return `Model: ${sure}${confidence}. MTV ${said.lesion.mtv_ml.toFixed(1)} ml, TLG ${said.lesion.tlg.toFixed(0)}, SUVmax ${said.lesion.suv_max.toFixed(1)}, SUVpeak ${said.lesion.suv_peak.toFixed(1)}. `;
}
