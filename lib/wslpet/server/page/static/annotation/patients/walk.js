// From patient to patient: who is on the screen, who comes next, who was there before.
import { dropDraft } from "../../common/drafts.js";
import { measure } from "../../common/measure.js";
import { failed } from "../../common/notices.js";
import { Patients } from "../../common/patients.js";
import { drawEmpty, drawExports, fetchingWords } from "../sheet.js";
import { NextPatients } from "./queue.js";

export const FETCHING_MS = 400; // a wait this long is said
const IDLE_MS = 10000;
const $ = (selector) => document.querySelector(selector);

export class Walk {
  patient = null; // on the screen
  #opening = null; // neither waiting any more nor on the screen yet
  #idleSince = Infinity;
  #trail = []; // patients that were on the screen, newest last
  #moving = null; // another patient is on the way to the screen: until then
  #silent = false; // the server did not answer

  // prepare(name, promise): loads a patient who comes next; draw(patient, before): draws one, resolves when done;
  // drawNobody(before): clears the screen.
  constructor(outbox, { prepare, draw, drawNobody }) {
    Object.assign(this, { draw, drawNobody });
    this.patients = new Patients();
    this.coming = new NextPatients(this.patients, {
      strategy: () => $("#strategy").value,
      busy: () => [...this.open, ...outbox.waiting.map((entry) => entry.image)],
      fetched: prepare,
      retry: () => this.next(),
    });
  }

  // What this browser has open; the server offers it to nobody else.
  get open() {
    return [this.patient?.image, this.#opening, ...this.coming.names].filter(Boolean);
  }

  get moving() {
    return Boolean(this.#moving);
  }

  get silent() {
    return this.#silent || this.coming.silent;
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
    const before = this.patient;
    this.coming.drop(name);
    this.patient = patient;
    await this.draw(patient, before);
    this.coming.fill();
    $("#annotate").dataset.drawn = name;
    this.#visited(name);
    return true;
  }

  // Each patient has an address, to be sent to a colleague; the patients before can be opened again.
  #visited(name) {
    if (!$("#annotate").hidden) history.replaceState(null, "", `#annotate/${encodeURIComponent(name)}`);
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

  next(since = performance.now()) {
    if (!this.#moving) this.move(() => this.#toNext(since));
    return this.#moving;
  }

  // One patient at a time.
  async move(run) {
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

  #nobody() {
    const before = this.patient;
    this.patient = null;
    this.#idleSince = performance.now();
    this.drawNobody(before);
    $("#annotate").dataset.drawn = "";
  }

  // A patient on the way: a series that a PACS sends first takes a while, and the page says so at once.
  #fetching(name) {
    $("#busy").textContent = "fetching a patient…";
    if (!this.patient) drawEmpty(fetchingWords(name));
  }

  // The server is there again: what could not be asked meanwhile is asked now.
  answersAgain() {
    this.#silent = false;
    return this.patient ? this.coming.fill() : this.next();
  }

  // Patients that were open elsewhere, or are new, may be free by now.
  lookAgain() {
    if (!this.patient && performance.now() - this.#idleSince > IDLE_MS) this.next();
  }
}
