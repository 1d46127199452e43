// Several readers of a patient: how far they are, their readings side by side for a reviewer, and remarks.
import { call, image } from "../common/api.js";
import { failed, notice } from "../common/notices.js";
import { decoded } from "../views/lesion.js";
import { deskOf } from "./desk.js";

const $ = (selector) => document.querySelector(selector);
const element = (tag, text, more = {}) => Object.assign(document.createElement(tag), { textContent: text, ...more });

// What is put on the screen of a history: the consensus; of several readers, one's own reading; else what counts.
export function saidBefore({ history, readings }) {
  const counts = history.findLast((said) => said.counts);
  return !readings || counts?.review ? counts : history.findLast((said) => said.own);
}

export class Review {
  #patient = null;
  #found = null; // all readings, once they are open
  #chosen = -1; // which was taken last
  #recorded = Promise.resolve(); // once the last remark is

  // take: put a reading on the screen, to be changed and saved; annotator: who it is; told: the history is another one.
  constructor(viewer, configuration, { take, annotator, told }) {
    Object.assign(this, { viewer, configuration, take, annotator, told });
    for (const id of ["flag", "unsure"]) $(`#${id}`).addEventListener("click", () => this.toggle(id));
    $("#comment").addEventListener("change", () => this.#remark());
  }

  // Whether what is saved now is the consensus.
  get deciding() {
    return Boolean(this.#patient?.readings?.open && this.configuration.may_review);
  }

  async of(patient) {
    this.#patient = patient;
    [this.#found, this.#chosen, this.viewer.overlay.readings] = [null, -1, []];
    this.#drawRemarks();
    this.#draw();
    if (!patient?.readings?.open) return;
    try {
      const found = await call(`${image(patient.image)}/readings`);
      if (this.#patient !== patient) return;
      this.#found = found;
      this.viewer.overlay.readings = found.readings.map(({ lesions }) => (lesions?.lesions ?? []).map(({ mask }) => decoded(mask)));
      this.viewer.refresh();
      this.#draw();
    } catch (error) {
      failed(error, { key: "readings" });
    }
  }

  // The next reader's reading on the screen.
  next() {
    const n = this.#found?.readings.length;
    if (n) this.#take((this.#chosen + 1) % n);
  }

  toggle(id) {
    if (!this.#patient) return;
    const button = $(`#${id}`);
    button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") !== "true");
    this.#remark();
  }

  #take(n) {
    this.#chosen = n;
    this.take(deskOf(this.#found.readings[n].annotation));
    this.#draw();
  }

  #draw() {
    const { readings } = this.#patient ?? {};
    $("#review").hidden = !readings;
    $("#save").firstChild.textContent = this.deciding ? "Consensus " : "Save, next ";
    $("#save").title = this.deciding ? "Save this as the consensus, next" : "";
    $("#annotate").dataset.readings = this.#found?.readings.length ?? "";
    if (!readings) return;
    const done = `${readings.done} of ${readings.needed} readers`;
    const state = readings.reviewed ? "reviewed" : readings.open ? "to be reviewed" : readings.mine ? "you have read it" : "you read it blind";
    $("#review-state").textContent = `${done} · ${state}`;
    $("#readings").replaceChildren(...(this.#found?.readings ?? []).map((reading, n) => this.#button(reading, n)));
    $("#differences").textContent = (this.#found?.agreement ?? []).map(inWords).join("\n");
  }

  #button({ annotation, lesions }, n) {
    const figures = lesions ? `, ${lesions.lesions.length} ${lesions.lesions.length === 1 ? "lesion" : "lesions"}, ${lesions.mtv_ml.toFixed(1)} ml` : "";
    const button = element("button", `${annotation.user}: ${annotation.cancer_type}${figures}`, { className: `reader${n % 2}`, title: "Take this reading (V: the next)" });
    button.setAttribute("aria-pressed", n === this.#chosen);
    button.addEventListener("click", () => this.#take(n));
    return button;
  }

  // The asking reader's own remark; those of others stand in the history.
  async #drawRemarks() {
    const patient = this.#patient, name = patient && await this.annotator();
    if (this.#patient !== patient) return;
    const said = patient?.history.findLast(({ kind, user }) => kind === "remark" && sameName(user, name));
    for (const id of ["flag", "unsure"]) $(`#${id}`).setAttribute("aria-pressed", Boolean(said?.[id]));
    $("#comment").value = said?.comment ?? "";
  }

  #remark() {
    const patient = this.#patient;
    if (!patient) return;
    if (!this.configuration.may_annotate) return notice("Your account may look, not annotate; ask your administrator.");
    const pressed = (id) => $(`#${id}`).getAttribute("aria-pressed") === "true";
    const said = { flag: pressed("flag"), unsure: pressed("unsure"), comment: $("#comment").value };
    // One after the other, since what the server receives last counts.
    this.#recorded = this.#recorded.then(() => this.#record(patient, said));
  }

  async #record(patient, said) {
    try {
      const body = { annotator: await this.annotator(), ...said };
      this.told(patient, await call(`${image(patient.image)}/remarks`, { method: "POST", body }));
      $("#annotate").dataset.remarked = patient.image;
    } catch (error) {
      failed(error, { about: "The remark was not saved. ", key: "remark" });
    }
  }
}

const sameName = (one, other) => [one, other].map((name) => name.trim().toLowerCase()).every((name, n, all) => name === all[0]);

function inWords({ readers, types, lesions, matched, dice, tmtv_difference_ml: difference }) {
  const type = types[0] === types[1] ? "same type" : `${types[0]} against ${types[1]}`;
  return `${readers.join(" and ")}: ${type}, ${matched} of ${lesions.join(" and ")} lesions matched, Dice ${dice.toFixed(2)}, TMTV ${difference < 0 ? "−" : "+"}${Math.abs(difference).toFixed(1)} ml`;
}
