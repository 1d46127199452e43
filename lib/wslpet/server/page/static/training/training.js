// Training from the page: start, stop, curves, and what came of each run.
import { call } from "../common/api.js";
import { chart } from "./chart.js";
import { drawComparison } from "./comparison.js";
import { failed, notice } from "../common/notices.js";

const $ = (selector) => document.querySelector(selector);

export class TrainingTab {
  #visible = false;
  #stamp = "";
  #chosen = null; // id of the run whose curves are shown; null: the newest

  // annotator: asks for the name of who decides, where there are no accounts.
  constructor(configuration, annotator) {
    Object.assign(this, { configuration, annotator });
    $("#epochs").value = configuration.training.max_epochs ?? 50;
    $("#train").addEventListener("click", () => this.#ask("POST", { max_epochs: Number($("#epochs").value), from_scratch: $("#scratch").checked }));
    $("#stop").addEventListener("click", () => this.#ask("DELETE"));
    for (const id of ["train", "stop"]) $(`#${id}`).hidden = !configuration.may_train;
  }

  visible(is) {
    this.#visible = is;
    if (is) this.#load();
  }

  // Called with each status.
  update({ training, revision }) {
    const stamp = `${training.state} ${training.epoch} ${revision}`;
    if (this.#stamp && stamp !== this.#stamp && training.message && !this.#stamp.startsWith(training.state)) {
      notice(`Training: ${training.message}`, { kind: training.state === "failed" ? "trouble" : "info", key: "training", stays: true });
    }
    this.#progress(training);
    if (this.#visible && stamp !== this.#stamp) this.#load();
    this.#stamp = stamp;
  }

  async #ask(method, body) {
    try {
      this.#chosen = null;
      this.#draw(await call("training", { method, body }));
    } catch (error) {
      failed(error, { key: "training" });
    }
  }

  async #decide(run, use) {
    try {
      const annotator = this.configuration.user ?? await this.annotator();
      this.#draw(await call("training/decision", { method: "POST", body: { run, use, annotator } }));
      notice(use ? "The new model is in use, as you decided." : "The model before is in use, as you decided.", { key: "training" });
    } catch (error) {
      failed(error, { key: "training" });
    }
  }

  async #load() {
    try {
      this.#draw(await call("training"));
    } catch (error) {
      failed(error, { key: "training" });
    }
  }

  #progress({ state, epoch, total_epochs, seconds_left, message }) {
    const runs = state === "running" || state === "waiting";
    $("#running").hidden = state === "none";
    $("#train").disabled = runs;
    $("#stop").disabled = !runs;
    $("#epoch").hidden = !runs;
    if (total_epochs) [$("#epoch").max, $("#epoch").value] = [total_epochs, epoch];
    else $("#epoch").removeAttribute("value");
    const left = seconds_left === null ? "" : `, at most ${duration(seconds_left)} left`;
    $("#epoch-text").textContent = runs ? message || (epoch ? `epoch ${epoch} of ${total_epochs}${left}` : "reading the patients…") : message;
    document.querySelector('nav a[href="#training"]').dataset.running = runs ? (total_epochs ? `${Math.round((100 * epoch) / total_epochs)} %` : "…") : "";
  }

  #draw({ progress, ready, plan, runs }) {
    this.#progress(progress);
    $("#ready").textContent = ready ? ready[0].toUpperCase() + ready.slice(1) : plan;
    const shown = runs.find((run) => run.id === this.#chosen) ?? runs[0];
    chart($("#losses"), "loss", shown?.epochs ?? [], shown?.total_epochs, [["loss", "training"], ["val_loss", "validation"]]);
    chart($("#shares"), "validation: share of patients", shown?.epochs ?? [], shown?.total_epochs, [["localisation_rate", "seed hit"], ["type_accuracy", "type right"]], 1);
    $("#runs tbody").replaceChildren(...runs.map((run) => this.#row(run, run === shown)));
    drawComparison($("#comparison"), shown, this.configuration.may_train ? (use) => this.#decide(shown.id, use) : null);
    $("#runs").hidden = !runs.length;
    document.querySelector(".charts").hidden = !runs.length;
  }

  #row(run, chosen) {
    const line = document.createElement("tr");
    const patients = Object.entries(run.patients).map(([type, n]) => `${n} ${type}`).join(", ");
    const cells = [new Date(1000 * run.started).toLocaleString(), patients, `${run.epochs.length} of ${run.total_epochs}`, run.total_time, ...shares(run), outcome(run)];
    line.append(...cells.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
    line.setAttribute("aria-current", chosen);
    const choose = () => { this.#chosen = run.id; this.#load(); };
    line.tabIndex = 0;
    line.addEventListener("click", choose);
    line.addEventListener("keydown", (event) => event.key === "Enter" && choose());
    return line;
  }
}

// Of the epoch with the lowest validation loss: seeds found, types right.
function shares({ epochs }) {
  const best = epochs.findLast((epoch) => epoch.best);
  return ["localisation_rate", "type_accuracy"].map((field) => (Number.isFinite(best?.[field]) ? `${Math.round(100 * best[field])} %` : ""));
}

function outcome(run) {
  const left = Object.keys(run.skipped).length;
  const out = left ? `; ${left} left out: ${Object.entries(run.skipped)[0].join(": ")}` : "";
  if (run.state === "failed") return run.error;
  if (run.state !== "done") return run.state;
  if (run.decision) return `${run.decision.use ? "in use" : "not in use"}, as ${run.decision.user} decided`;
  return `${run.published ? `in use, version ${run.model_version.slice(0, 6)}` : `not in use: it ${run.not_published}`}${out}${run.not_judged ? `. ${run.not_judged}` : ""}`;
}

function duration(seconds) {
  return seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}
