// One patient after the other: a click, a type, Enter.
import { aborted, call, image } from "../common/api.js";
import { Controls } from "./controls.js";
import { added, deskOf, empty } from "./desk.js";
import { draftOf, dropDraft, keepDraft, openDraft } from "../common/drafts.js";
import { LesionDesk } from "./lesion_desk.js";
import { failed, notice } from "../common/notices.js";
import { measure } from "../common/measure.js";
import { Opinion } from "./opinion.js";
import { Unusual } from "./unusual.js";
import { Review, saidBefore } from "./review.js";
import { Patients } from "../common/patients.js";
import { Saved } from "../common/saved.js";
import { NextPatients } from "./queue.js";
import { drawExports, drawHistory, drawNotes, drawTypes, fetchingWords, lackingWords, nobodyWords, readoutWords } from "./sheet.js";
import { Viewer } from "../views/viewer.js";

const FETCHING_MS = 400; // a wait this long is said
const IDLE_MS = 10000;
const $ = (selector) => document.querySelector(selector);

export class Annotator {
  patient = null;
  #opening = null; // neither waiting any more nor on the screen yet
  #changed = false;
  #idleSince = Infinity;
  #trail = []; // patients that were on the screen, newest last
  #moving = null; // another patient is on the way to the screen: until then
  #undoing = Promise.resolve(); // one after the other
  #silent = false; // the server did not answer

  constructor(configuration, outbox, annotator) {
    Object.assign(this, { configuration, outbox, annotator });
    this.patients = new Patients();
    this.saved = new Saved(outbox);
    this.coming = new NextPatients(this.patients, {
      strategy: () => $("#strategy").value,
      busy: () => [...this.open, ...outbox.waiting.map((entry) => entry.image)],
      fetched: (name, patient) => this.#prepare(name, patient),
      retry: () => this.next(),
    });
    this.viewer = new Viewer($("#annotate"));
    this.controls = new Controls(this.viewer);
    this.unusual = new Unusual(this.viewer);
    this.opinion = new Opinion(this.viewer, this.root, (...found) => this.lesions.accept(...found));
    drawTypes(configuration.classes, (number) => this.lesions.chooseType(number));
    this.lesions = new LesionDesk(this.viewer, configuration, (text) => this.#say(text));
    this.review = new Review(this.viewer, configuration, {
      take: (desk) => { this.lesions.before.push(this.lesions.desk); this.#put(desk); }, annotator,
      told: (patient, history) => { patient.history = history; if (this.patient === patient) drawHistory(history); },
    });
    this.lesions.addEventListener("edit", () => this.#edited());
    this.#listen();
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

  // What this browser has open; the server offers it to nobody else.
  get open() {
    return [this.patient?.image, this.#opening, ...this.coming.names].filter(Boolean);
  }

  // name: of the patient that the address names, if it does.
  async start(name) {
    if (name && await this.show(name)) return;
    const draft = openDraft();
    if (draft && await this.show(draft.image)) {
      notice(`${this.patient.title}: your click from before the reload is here again, not saved yet.`, { key: "draft" });
    } else if (!this.patient) await this.next();
  }

  // Open a patient by name; whether it worked.
  async show(name) {
    let patient;
    this.#opening = name;
    const waiting = setTimeout(() => this.#opening === name && this.#fetching(name), FETCHING_MS);
    try {
      patient = await this.patients.get(name);
    } catch (error) {
      failed(error, { about: `${name}: `, key: name });
      if (error.status === 404) dropDraft(name);
      this.#silent = error.status === 0;
      return false;
    } finally {
      clearTimeout(waiting);
      $("#busy").textContent = "";
      if (this.#opening === name) this.#opening = null;
    }
    if (this.#changed && this.patient.image !== name) this.#leave();
    this.coming.drop(name);
    this.patient = patient;
    this.#changed = false;
    $("#empty").hidden = true;
    this.root.classList.remove("none");
    const drawn = this.viewer.show(patient);
    this.lesions.of(patient);
    this.controls.of(patient);
    $("#title").textContent = patient.title;
    drawNotes(patient.notes);
    this.#putWhatWasSaid(patient);
    drawHistory(patient.history);
    this.opinion.of(patient);
    this.unusual.of(patient);
    this.review.of(patient);
    await drawn;
    this.coming.fill();
    this.root.dataset.drawn = name;
    this.#visited(name);
    return true;
  }

  // Each patient has an address, to be sent to a colleague; the patients before can be opened again.
  #visited(name) {
    if (!this.root.hidden) history.replaceState(null, "", `#annotate/${encodeURIComponent(name)}`);
    if (this.#trail.at(-1) !== name) this.#trail = [...this.#trail.slice(-100), name];
    $("#previous").disabled = this.#trail.length < 2;
    drawExports(name, this.patient.study);
  }

  openByAddress(name) {
    if (name !== this.patient?.image && name !== this.#opening) this.show(name);
  }

  async previous() {
    if (this.#trail.length < 2 || this.#moving) return;
    const here = this.#trail.pop(), name = this.#trail.at(-1);
    if (this.patient) this.coming.unshift(this.patient.image);
    if (!await this.show(name)) this.#trail.push(here);
  }

  // The draft, if there is one; else what is on record.
  #putWhatWasSaid(patient) {
    const { image: name, title } = patient, current = saidBefore(patient);
    const recorded = current ? deskOf(current) : empty();
    const draft = draftOf(name);
    if (draft) {
      this.lesions.before.push(recorded);
      this.#put(deskOf(draft));
      notice(`${title}: your click from before is here again, not saved yet.`, { key: "draft" });
    } else if (current) this.#put(recorded, false);
    else this.#refresh();
  }

  next(since = performance.now()) {
    if (!this.#moving) this.#move(() => this.#toNext(since));
    return this.#moving;
  }

  // One patient at a time.
  async #move(run) {
    while (this.#moving) await this.#moving.catch(() => {});
    this.#moving = run().finally(() => { this.#moving = null; });
    return this.#moving;
  }

  async #toNext(since) {
    const before = this.patient, { coming } = this;
    if (!coming.names.length) {
      $("#busy").textContent = "next patient…";
      await coming.fill();
      $("#busy").textContent = "";
    }
    while (coming.names.length) {
      const name = coming.shift();
      const ready = this.patients.ready(name);
      if (await this.show(name)) {
        measure(ready ? "enter-to-mips" : "enter-to-mips-cold", since);
        return;
      }
      if (this.#silent) {
        coming.unshift(name);
        break;
      }
      coming.skipped.add(name);
      if (!coming.names.length) await coming.fill();
    }
    if (this.patient === before) this.#nobody(); // else somebody was opened meanwhile
  }

  // A patient on the way: a series that a PACS sends first takes a while, and the page says so at once.
  #fetching(name) {
    $("#busy").textContent = "fetching a patient…";
    if (this.patient) return;
    $("#empty").textContent = fetchingWords(name);
    $("#empty").hidden = false;
    this.root.classList.add("none");
  }

  // The server is there again: what could not be asked meanwhile is asked now.
  answersAgain() {
    this.#silent = false;
    this.opinion.again();
    if (!this.patient) return this.next();
    this.lesions.delineate();
    this.coming.fill();
  }

  async save(since = performance.now(), sure = false) {
    const { patient, lesions: { desk, tried }, lesions: { desk: { type } } } = this;
    if (!patient || this.#moving) return;
    if (!this.configuration.may_annotate) return this.#say("Your account may look, not annotate; ask your administrator.");
    const none = type === this.configuration.no_tumour, lacking = lackingWords(desk, none);
    if (lacking) return this.#say(lacking);
    const { trouble, doubt, asked } = none ? {} : tried;
    if (trouble) return this.#say(trouble, "trouble");
    if (doubt && !asked && !sure) {
      tried.asked = true;
      return this.#say(`${doubt} If it is the tumour all the same, press Enter again.`);
    }
    const entry = {
      id: newId(), image: patient.image, title: patient.title, cancer_type: type,
      ...(none ? { seeds: [], background: [] } : { seeds: desk.seeds, background: desk.background }), sure: sure || Boolean(asked),
      annotator: await this.annotator(), seen: patient.history.length, review: this.review.deciding,
    };
    this.saved.add(entry);
    this.#edited(false);
    this.patients.forget(patient.image);
    this.outbox.add(entry);
    await this.next(since);
  }

  skip() {
    if (this.#moving) return;
    if (!this.patient) {
      this.coming.skipped.clear();
      return this.next();
    }
    const { patient: { image: name, title }, lesions: { desk } } = this;
    this.coming.skipped.add(name);
    this.saved.add({ id: newId(), image: name, title, skipped: true });
    if (this.#changed) {
      keepDraft({ image: name, ...desk, skipped: true });
      this.#changed = false;
      notice(`${title}: skipped; your click is kept, not saved. Z brings it back.`, { key: "skipped" });
    }
    this.next();
  }

  // The last change of the patient on the screen, else the last patient saved or skipped. While another patient comes or
  // the last one is being saved, it waits its turn: no Z is lost.
  undo() {
    const { before } = this.lesions;
    if (before.length && !this.#moving) return this.#put(before.pop(), before.length > 0);
    const entry = this.saved.claim();
    if (!entry) return this.#say("There is nothing to undo.");
    this.#undoing = this.#undoing.then(() => this.#takeBack(entry));
  }

  async #takeBack(entry) {
    const { id, title, skipped } = entry;
    const waiting = setTimeout(() => this.#say(`${title} comes back as soon as it is saved and the next patient is here.`), FETCHING_MS);
    try {
      if (!skipped) await this.saved.withdraw(entry);
      this.saved.drop(id);
      await this.#move(() => this.#bringBack(entry));
    } catch (error) {
      if (error.status) this.saved.drop(id);
      else this.saved.release(id);
      failed(error, { key: "annotate", stays: false });
    } finally {
      clearTimeout(waiting);
    }
  }

  async #bringBack(entry) {
    const { image: name, title, skipped } = entry, { coming } = this;
    if (skipped) coming.skipped.delete(name);
    else this.patients.forget(name);
    if (this.patient && this.patient.image !== name) coming.unshift(this.patient.image);
    if (!await this.show(name) || skipped) return;
    this.#put(deskOf(entry));
    notice(`${title}: taken back. Correct it and press Enter, or skip it with N.`, { key: "undo" });
  }

  async agree() {
    if (!this.patient) return;
    if (!this.opinion.shown) {
      this.opinion.toggle();
      return this.#say("This is what the model thinks. Press A again to agree.");
    }
    const said = await this.opinion.about(this.patient.image).catch(() => null);
    if (!said) return this.#say("The model has no opinion on this patient; click on the tumour.");
    this.lesions.change({ ...empty(), type: said.cancer_type, seeds: added(empty(), ...said.positions).seeds });
    await this.save(performance.now(), true);
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

  stored({ entry, answer }) {
    this.saved.stored(entry.id, answer.annotation.time);
    for (const { user, cancer_type } of answer.meanwhile.slice(-1)) {
      const did = cancer_type ? `had annotated it as ${cancer_type}` : "had taken an annotation of it back";
      notice(`${entry.title}: ${user} ${did} meanwhile; yours is the newest, both are kept.`, { stays: true });
    }
  }

  refused({ entry, error }) {
    this.saved.drop(entry.id);
    const action = { text: "Open", run: async () => await this.show(entry.image) && this.#put(deskOf(entry)) };
    failed(error, { about: `${entry.title} was not saved. `, action });
  }

  // What is known of a patient is void: an annotation was deleted.
  forget(name) {
    this.patients.forget(name);
    if (this.patient?.image === name && !this.#changed) this.show(name);
  }

  // Another patient was opened before this one was saved.
  #leave() {
    const { image, title } = this.patient;
    const run = () => this.show(image);
    notice(`${title}: your click there was not saved; it is kept as a draft.`, { key: "left", stays: true, action: { text: "Back to it", run } });
  }

  // What was said before.
  #put(desk, changed = true) {
    this.lesions.put(desk);
    this.#edited(changed);
  }

  #edited(changed = true) {
    this.#changed = changed;
    if (changed) keepDraft({ image: this.patient.image, ...this.lesions.desk });
    else dropDraft(this.patient.image);
    this.#refresh();
  }

  // Patients that were open elsewhere, or are new, may be free by now.
  lookAgain() {
    if (!this.patient && performance.now() - this.#idleSince > IDLE_MS) this.next();
  }

  #nobody() {
    this.patient = null;
    this.#idleSince = performance.now();
    this.opinion.of(null);
    this.unusual.of(null);
    this.review.of(null);
    this.viewer.clear();
    this.root.classList.add("none");
    const { left } = this.coming;
    $("#title").textContent = left?.image === null ? "No patient is left" : "No patient could be opened";
    drawNotes([]);
    $("#empty").textContent = nobodyWords(this.coming, this.#silent || this.coming.silent);
    $("#empty").hidden = false;
    this.lesions.of(null);
    this.#refresh();
    this.root.dataset.drawn = "";
  }

  #refresh() {
    const { desk } = this.lesions;
    for (const button of $("#types").children) button.setAttribute("aria-checked", button.value === desk.type);
    $("#undo").disabled = !this.lesions.before.length && !this.saved.size;
    $("#save").disabled = !this.patient;
    this.root.dataset.seed = desk.seeds.at(-1)?.position.map((v) => v.toFixed(1)).join(" ") ?? "";
    this.#readout(null);
  }

  #say(text, kind = "info") {
    notice(text, { kind, key: "annotate", stays: false });
  }

  #readout(at) {
    $("#readout").textContent = this.patient ? readoutWords(this.patient, at, this.lesions.desk.seeds.at(-1)) : "";
  }

  get root() {
    return $("#annotate");
  }

  #listen() {
    const { viewer } = this;
    viewer.addEventListener("seed", ({ detail }) => this.lesions.click(detail.voxel, detail.time));
    viewer.addEventListener("hover", ({ detail }) => this.#readout(detail));
    viewer.addEventListener("look", () => { this.root.dataset.cross = viewer.cross.join(" "); });
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
      this.coming.clear();
      this.coming.fill();
    });
  }
}

const newId = () => crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;
