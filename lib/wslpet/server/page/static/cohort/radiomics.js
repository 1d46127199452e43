// Radiomics of the cohort: a job of the server with its progress, then the table.
import { call } from "../common/api.js";
import { download } from "../common/download.js";
import { failed, notice } from "../common/notices.js";

const POLL_MS = 500;
const $ = (selector) => document.querySelector(selector);

export class Radiomics {
  #wanted = false; // whether the table is saved when the job is done: somebody else may have started it
  #timer = 0;

  constructor() {
    $("#radiomics").addEventListener("click", () => this.#start());
    $("#stop-radiomics").addEventListener("click", () => this.#ask("DELETE"));
  }

  // Show a job that runs already.
  look() {
    if (!this.#timer) this.#ask("GET");
  }

  async #start() {
    this.#wanted = true;
    $("#radiomics").disabled = true;
    await this.#ask("POST");
  }

  async #ask(method) {
    clearTimeout(this.#timer);
    this.#timer = 0;
    try {
      this.#draw(await call("radiomics", { method }));
    } catch (error) {
      if (error.status === 409) return void this.#ask("GET"); // it runs already
      this.#wanted = false;
      $("#radiomics").disabled = false;
      failed(error, { key: "radiomics" });
    }
  }

  #draw({ state, done, total, lesions, failed: left }) {
    const running = state === "running";
    $("#radiomics").disabled = running;
    $("#radiomics-job").hidden = !running;
    [$("#radiomics-done").max, $("#radiomics-done").value] = [total || 1, done];
    $("#radiomics-text").textContent = `radiomics: ${done} of ${total} patients, ${lesions} lesions`;
    if (running) this.#timer = setTimeout(() => this.#ask("GET"), POLL_MS);
    else if (this.#wanted) this.#end(state, lesions, Object.entries(left));
  }

  #end(state, lesions, left) {
    this.#wanted = false;
    if (state === "done") download("radiomics.csv");
    const reasons = left.slice(0, 3).map(([name, reason]) => `${name}: ${reason}`).join("; ");
    const without = left.length ? ` ${left.length} patients have no row: ${reasons}` : "";
    const words = state === "done" ? `Radiomics of ${lesions} lesions are saved.${without}` : "The radiomics were stopped; what was measured is kept for the next time.";
    notice(words, { key: "radiomics", stays: left.length > 0 });
  }
}
