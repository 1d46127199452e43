// Annotations on their way to the server. They lie in the browser's storage until the server has them on its disk, so
// that neither a reload nor a restart of the server loses one. Each has an id, by which the server records it once,
// however often it is sent, and from however many tabs.
import { call, image, Refusal } from "./api.js";

const KEY = "wslpet.outbox";
const RETRY_MS = 1500, SEND_MS = 20; // the next patient is drawn meanwhile

export class Outbox extends EventTarget {
  #sending = false;

  constructor() {
    super();
    // Another tab sent something.
    addEventListener("storage", ({ key }) => key === KEY && this.dispatchEvent(new Event("change")));
  }

  get waiting() {
    return JSON.parse(localStorage.getItem(KEY) ?? "[]");
  }

  // entry: { id, image, title, cancer_type, seeds, background, sure, annotator, seen, review }; of an older page: position for seeds
  add(entry) {
    this.#keep([...this.waiting, entry]);
    setTimeout(() => this.flush(), SEND_MS);
  }

  // Take back what was not sent yet; whether it was there.
  remove(id) {
    const { waiting } = this;
    this.#keep(waiting.filter((entry) => entry.id !== id || entry.sent));
    return waiting.some((entry) => entry.id === id && !entry.sent);
  }

  // Until nothing of this id is on its way any more.
  async answered(id) {
    while (this.waiting.some((entry) => entry.id === id)) await new Promise((changed) => this.addEventListener("change", changed, { once: true }));
  }

  async flush() {
    if (this.#sending) return;
    this.#sending = true;
    try {
      for (let entry; (entry = this.waiting[0]);) {
        this.#keep([{ ...entry, sent: true }, ...this.waiting.slice(1)]);
        const told = await this.#send(entry);
        if (told === "later") {
          setTimeout(() => this.flush(), RETRY_MS);
          return;
        }
        this.#keep(this.waiting.filter((other) => other.id !== entry.id));
        this.dispatchEvent(new CustomEvent(told.error ? "refused" : "saved", { detail: { entry, ...told } }));
      }
    } finally {
      this.#sending = false;
      this.dispatchEvent(new Event("change"));
    }
  }

  // The server's answer to an entry.
  post({ id, image: name, cancer_type, seeds, background, position, sure, annotator, seen, review }) {
    const places = seeds ?? (position ? [{ position }] : []);
    const body = { id, cancer_type, seeds: places, background: background ?? [], sure, annotator, seen, review: Boolean(review) };
    return call(`${image(name)}/annotations`, { method: "POST", body });
  }

  async #send(entry) {
    try {
      return { answer: await this.post(entry) };
    } catch (error) {
      const passing = error instanceof Refusal && (error.status === 0 || error.status >= 500 || error.status === 401);
      if (passing) this.dispatchEvent(new CustomEvent("delayed", { detail: { error } }));
      return passing ? "later" : { error };
    }
  }

  #keep(entries) {
    localStorage.setItem(KEY, JSON.stringify(entries));
    this.dispatchEvent(new Event("change"));
  }
}
