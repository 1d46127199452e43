// A patient is saved or skipped, and the next one comes; the last one is taken back.
import { failed, notice } from "../../common/notices.js";
import { Saved } from "../../common/saved.js";
import { added, deskOf, empty } from "../desk.js";
import { lackingWords } from "../sheet.js";
import { FETCHING_MS } from "./walk.js";

export class Saving {
  #undoing = Promise.resolve(); // one after the other

  // parts: walk, lesions, unsaved, review, opinion; annotator: who it is; say(text, kind): to the reader.
  constructor(outbox, configuration, parts) {
    Object.assign(this, { outbox, configuration, ...parts });
    this.saved = new Saved(outbox);
  }

  get undoable() {
    return this.lesions.before.length > 0 || this.saved.size > 0;
  }

  async save(since = performance.now(), sure = false) {
    const { walk, walk: { patient }, lesions: { desk, tried }, lesions: { desk: { type } } } = this;
    if (!patient || walk.moving) return;
    if (!this.configuration.may_annotate) return this.say("Your account may look, not annotate; ask your administrator.");
    const none = type === this.configuration.no_tumour, lacking = lackingWords(desk, none);
    if (lacking) return this.say(lacking);
    const { trouble, doubt, asked } = none ? {} : tried;
    if (trouble) return this.say(trouble, "trouble");
    if (doubt && !asked && !sure) {
      tried.asked = true;
      return this.say(`${doubt} If it is the tumour all the same, press Enter again.`);
    }
    const entry = {
      id: newId(), image: patient.image, title: patient.title, cancer_type: type,
      ...(none ? { seeds: [], background: [] } : { seeds: desk.seeds, background: desk.background }), sure: sure || Boolean(asked),
      annotator: await this.annotator(), seen: patient.history.length, review: this.review.deciding,
    };
    this.saved.add(entry);
    this.unsaved.edited(false);
    walk.patients.forget(patient.image);
    this.outbox.add(entry);
    await walk.next(since);
  }

  async agree() {
    if (!this.walk.patient) return;
    if (!this.opinion.shown) {
      this.opinion.toggle();
      return this.say("This is what the model thinks. Press A again to agree.");
    }
    const said = await this.opinion.about(this.walk.patient.image).catch(() => null);
    if (!said) return this.say("The model has no opinion on this patient; click on the tumour.");
    this.lesions.change({ ...empty(), type: said.cancer_type, seeds: added(empty(), ...said.positions).seeds });
    await this.save(performance.now(), true);
  }

  skip() {
    const { walk, walk: { patient, coming: { skipped } } } = this;
    if (walk.moving) return;
    if (!patient) {
      skipped.clear();
      return walk.next();
    }
    skipped.add(patient.image);
    this.saved.add({ id: newId(), image: patient.image, title: patient.title, skipped: true });
    this.unsaved.skip(patient);
    walk.next();
  }

  // The last change of the patient on the screen, else the last patient saved or skipped. While another patient comes or
  // the last one is being saved, it waits its turn: no Z is lost.
  undo() {
    const { before } = this.lesions;
    if (before.length && !this.walk.moving) return this.unsaved.put(before.pop(), before.length > 0);
    const entry = this.saved.claim();
    if (!entry) return this.say("There is nothing to undo.");
    this.#undoing = this.#undoing.then(() => this.#takeBack(entry));
  }

  async #takeBack(entry) {
    const { id, title, skipped } = entry;
    const waiting = setTimeout(() => this.say(`${title} comes back as soon as it is saved and the next patient is here.`), FETCHING_MS);
    try {
      if (!skipped) await this.saved.withdraw(entry);
      this.saved.drop(id);
      await this.walk.move(() => this.#bringBack(entry));
    } catch (error) {
      if (error.status) this.saved.drop(id);
      else this.saved.release(id);
      failed(error, { key: "annotate", stays: false });
    } finally {
      clearTimeout(waiting);
    }
  }

  async #bringBack(entry) {
    const { image: name, title, skipped } = entry, { walk, walk: { coming, patient } } = this;
    if (skipped) coming.skipped.delete(name);
    else walk.patients.forget(name);
    if (patient && patient.image !== name) coming.unshift(patient.image);
    if (!await walk.show(name) || skipped) return;
    this.unsaved.put(deskOf(entry));
    notice(`${title}: taken back. Correct it and press Enter, or skip it with N.`, { key: "undo" });
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
    const action = { text: "Open", run: async () => await this.walk.show(entry.image) && this.unsaved.put(deskOf(entry)) };
    failed(error, { about: `${entry.title} was not saved. `, action });
  }
}

const newId = () => crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;
