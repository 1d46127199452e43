// One patient after the other: a click, a type, Enter.
import { call, image } from "../common/api.js";
import { openDraft } from "../common/drafts.js";
import { notice } from "../common/notices.js";
import { Viewer } from "../views/viewer.js";
import { Controls } from "./controls.js";
import { LesionDesk } from "./lesion_desk.js";
import { Opinion } from "./opinion.js";
import { Saving } from "./patients/saving.js";
import { Unsaved } from "./patients/unsaved.js";
import { Walk } from "./patients/walk.js";
import { Review } from "./review.js";
import { drawEmpty, drawHistory, drawNotes, drawTypes, nobodyWords, readoutWords } from "./sheet.js";
import { Unusual } from "./unusual.js";

const $ = (selector) => document.querySelector(selector);

export class Annotator {
  constructor(configuration, outbox, annotator) {
    const say = (text, kind) => this.#say(text, kind);
    this.walk = new Walk(outbox, {
      prepare: (name, patient) => this.#prepare(name, patient),
      draw: (patient, before) => this.#draw(patient, before),
      drawNobody: (before) => this.#drawNobody(before),
    });
    this.viewer = new Viewer($("#annotate"));
    this.controls = new Controls(this.viewer);
    this.unusual = new Unusual(this.viewer);
    this.opinion = new Opinion(this.viewer, this.viewer.root, (...found) => this.lesions.accept(...found));
    drawTypes(configuration.classes, (number) => this.lesions.chooseType(number));
    this.lesions = new LesionDesk(this.viewer, configuration, say);
    this.unsaved = new Unsaved(this.walk, this.lesions, () => this.#refresh());
    this.review = new Review(this.viewer, configuration, {
      take: (desk) => { this.lesions.before.push(this.lesions.desk); this.unsaved.put(desk); }, annotator,
      told: (patient, history) => { patient.history = history; if (this.patient === patient) drawHistory(history); },
    });
    const { walk, lesions, unsaved, review, opinion } = this;
    this.saving = new Saving(outbox, configuration, { walk, lesions, unsaved, review, opinion, annotator, say });
    this.#listen();
  }

  // The one on the screen.
  get patient() {
    return this.walk.patient;
  }

  get open() {
    return this.walk.open;
  }

  // name: of the patient that the address names, if it does.
  async start(name) {
    if (name && await this.show(name)) return;
    const draft = openDraft();
    if (draft && await this.show(draft.image)) {
      notice(`${this.patient.title}: your click from before the reload is here again, not saved yet.`, { key: "draft" });
    } else if (!this.patient) await this.walk.next();
  }

  show(name) {
    return this.walk.show(name);
  }

  openByAddress(name) {
    this.walk.openByAddress(name);
  }

  previous() {
    return this.walk.previous();
  }

  lookAgain() {
    this.walk.lookAgain();
  }

  save(since, sure) {
    return this.saving.save(since, sure);
  }

  agree() {
    return this.saving.agree();
  }

  skip() {
    return this.saving.skip();
  }

  undo() {
    return this.saving.undo();
  }

  stored(told) {
    this.saving.stored(told);
  }

  refused(told) {
    this.saving.refused(told);
  }

  answersAgain() {
    this.opinion.again();
    if (this.patient) this.lesions.delineate();
    return this.walk.answersAgain();
  }

  // Others may have annotated; the patient on the screen says so.
  async othersAnnotated() {
    const { patient } = this;
    if (!patient) return;
    const history = await call(`${image(patient.image)}/annotations`).catch(() => null);
    if (!history || this.patient !== patient || history.length <= (patient.told ?? patient.history.length)) return;
    patient.told = history.length;
    const { user, kind, cancer_type } = history.at(-1);
    if (kind === "remark" || patient.readings) return drawHistory(history);
    const did = kind === "seed" ? `annotated this patient as ${cancer_type}` : "took an annotation of this patient back";
    notice(`${user} has just ${did}. What you save now supersedes it; nothing is lost.`, { key: "others", stays: true });
    drawHistory(history);
  }

  // What is known of a patient is void: an annotation was deleted.
  forget(name) {
    this.walk.patients.forget(name);
    if (this.patient?.image === name && !this.unsaved.changed) this.show(name);
  }

  // A patient who comes next, while the one on the screen is read.
  async #prepare(name, patient) {
    try {
      this.viewer.prepare(await patient);
      if (this.opinion.shown) await this.opinion.about(name);
    } catch {
      // said when the patient is opened
    }
  }

  // Resolves when the pictures are drawn.
  #draw(patient, before) {
    this.unsaved.leave(before, patient);
    drawEmpty("");
    const drawn = this.viewer.show(patient);
    this.lesions.of(patient);
    this.controls.of(patient);
    $("#title").textContent = patient.title;
    drawNotes(patient.notes);
    this.unsaved.putWhatWasSaid(patient);
    drawHistory(patient.history);
    this.opinion.of(patient);
    this.unusual.of(patient);
    this.review.of(patient);
    return drawn;
  }

  #drawNobody(before) {
    this.unsaved.leave(before, null);
    const { coming, silent } = this.walk;
    for (const part of [this.opinion, this.unusual, this.review]) part.of(null);
    this.viewer.clear();
    drawEmpty(nobodyWords(coming, silent));
    $("#title").textContent = coming.left?.image === null ? "No patient is left" : "No patient could be opened";
    drawNotes([]);
    this.lesions.of(null);
    this.#refresh();
  }

  #refresh() {
    const { desk } = this.lesions;
    for (const button of $("#types").children) button.setAttribute("aria-checked", button.value === desk.type);
    $("#undo").disabled = !this.saving.undoable;
    $("#save").disabled = !this.patient;
    this.viewer.root.dataset.seed = desk.seeds.at(-1)?.position.map((v) => v.toFixed(1)).join(" ") ?? "";
    this.#readout(null);
  }

  #say(text, kind = "info") {
    notice(text, { kind, key: "annotate", stays: false });
  }

  #readout(at) {
    $("#readout").textContent = this.patient ? readoutWords(this.patient, at, this.lesions.desk.seeds.at(-1)) : "";
  }

  #listen() {
    const { viewer } = this;
    viewer.addEventListener("seed", ({ detail }) => this.lesions.click(detail.voxel, detail.time));
    viewer.addEventListener("hover", ({ detail }) => this.#readout(detail));
    viewer.addEventListener("look", () => { viewer.root.dataset.cross = viewer.cross.join(" "); });
    const on = (id, run) => $(`#${id}`).addEventListener("click", run);
    on("save", (event) => this.save(event.timeStamp));
    on("undo", () => this.undo());
    on("skip", () => this.skip());
    on("previous", () => this.previous());
    on("agree", () => this.agree());
    on("show-model", () => this.opinion.toggle());
    on("show-cam", () => this.opinion.toggleCam());
    on("show-unusual", () => this.unusual.toggle());
    $("#strategy").addEventListener("change", ({ target }) => {
      target.blur(); // keys are the page's again
      this.walk.coming.clear();
      this.walk.coming.fill();
    });
  }
}
