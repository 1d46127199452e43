// What was saved or skipped in this tab, newest last: what Z takes back, one after the other.
import { call, image } from "./api.js";

const KEPT = 100;

export class Saved {
  #entries = JSON.parse(sessionStorage.saved ?? "[]");
  #leaving = new Set(); // ids of those that are being taken back

  constructor(outbox) {
    this.outbox = outbox;
  }

  get size() {
    return this.#entries.length;
  }

  // entry: as of the outbox; of a skipped patient { id, image, title, skipped }
  add(entry) {
    this.#keep([...this.#entries, entry]);
  }

  drop(id) {
    this.#leaving.delete(id);
    this.#keep(this.#entries.filter((one) => one.id !== id));
  }

  // The server has it: recorded at this time.
  stored(id, time) {
    this.#keep(this.#entries.map((one) => (one.id === id ? { ...one, time } : one)));
  }

  // The newest that is not being taken back yet; it is from now on, until `drop` or `release`.
  claim() {
    const entry = this.#entries.findLast(({ id }) => !this.#leaving.has(id));
    if (entry) this.#leaving.add(entry.id);
    return entry;
  }

  release(id) {
    this.#leaving.delete(id);
  }

  // Take it off the server's record. One on its way is waited for: only its answer says what is to be withdrawn.
  async withdraw({ id, image: name, annotator }) {
    if (this.outbox.remove(id)) return;
    await this.outbox.answered(id);
    const entry = this.#entries.find((one) => one.id === id);
    if (!entry) return; // refused, so there is nothing on record
    // Another tab may have sent it and had the answer; the same again is answered, not recorded again.
    const time = entry.time ?? (await this.outbox.post(entry)).annotation.time;
    await call(`${image(name)}/annotations/withdraw`, { method: "POST", body: { time, annotator } });
  }

  #keep(entries) {
    this.#entries = entries.slice(-KEPT);
    sessionStorage.saved = JSON.stringify(this.#entries);
  }
}
