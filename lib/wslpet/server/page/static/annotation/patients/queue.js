// Who comes next: asked of the server and fetched before they are needed.
import { call } from "../../common/api.js";
import { failed, withdraw } from "../../common/notices.js";

const AHEAD = 2; // patients fetched before they are needed

export class NextPatients {
  left = null; // the server's last answer: when nobody is left, what that means
  skipped = new Set();
  #names = [];
  #filling = null;

  // strategy, busy: functions; busy gives the images that must not be offered. fetched: what to do with a patient on the way.
  constructor(patients, { strategy, busy, fetched, retry }) {
    Object.assign(this, { patients, strategy, busy, fetched, retry });
  }

  get names() {
    return this.#names;
  }

  get silent() {
    return this.left?.status === 0;
  }

  shift() {
    return this.#names.shift();
  }

  unshift(name) {
    this.#names.unshift(name);
  }

  drop(name) {
    this.#names = this.#names.filter((other) => other !== name);
  }

  clear() {
    this.#names = [];
  }

  // Ask for the next patients and fetch them; one asking at a time.
  fill() {
    this.#filling ??= this.#fill().finally(() => { this.#filling = null; });
    return this.#filling;
  }

  async #fill() {
    withdraw("next");
    while (this.#names.length < AHEAD) {
      const body = { strategy: this.strategy(), client: sessionStorage.client, exclude: [...this.busy(), ...this.skipped] };
      try {
        this.left = await call("next", { method: "POST", body });
        if (!this.left.image) return;
        this.#names.push(this.left.image);
        this.fetched(this.left.image, this.patients.get(this.left.image));
      } catch (error) {
        this.left = { message: error.message, status: error.status };
        failed(error, { key: "next", action: { text: "Try again", run: this.retry } });
        return;
      }
    }
  }
}
