// All patients at a glance.
import { call, image } from "../common/api.js";
import { download } from "../common/download.js";
import { failed, notice } from "../common/notices.js";
import { drawAgreement } from "./agreement.js";
import { Cards } from "./cards.js";
import { drawHead, listLine } from "./list.js";
import { filtered, MARKS, ORDERS, Sorted } from "./order.js";
import { Radiomics } from "./radiomics.js";
import { Window } from "./window.js";

const STATES = {
  unannotated: "○ to annotate", annotated: "● annotated", disagreement: "◆ model disagrees", unreadable: "✕ unreadable",
};
const LOOKING_MS = 3000, REST = 5; // while images are looked at, the cohort is asked for that seldom; REST: of how long it took
const CARD = { least: 196, height: 290, gap: 12 }, LINE = 37; // pixels, as in style.css
const $ = (selector) => document.querySelector(selector);

export class CohortTab {
  #rows = [];
  #state = "";
  #mark = "";
  #visible = false;
  #stamp = "";
  #looking = false;
  #loading = false;
  #stale = false; // what is shown may be out of date
  #asked = 0;
  #took = 0; // ms of the last answer
  #sorted = new Sorted();

  // open, forget: what to do with an image's name when it is to be shown, or what is known of it is void.
  constructor(configuration, { open, forget, annotator }) {
    Object.assign(this, { configuration, open, forget, annotator });
    $("#search").addEventListener("input", () => this.#draw());
    const tables = { export: "annotations.csv", "export-history": "annotations.csv?history=true", "export-lesions": "lesions.csv", "export-patients": "patients.csv", "export-agreement": "agreement.csv", "export-masks": "masks.zip" };
    for (const [id, path] of Object.entries(tables)) $(`#${id}`).addEventListener("click", () => download(path));
    $("#decimal-comma").checked = localStorage.decimalComma === "true";
    $("#decimal-comma").addEventListener("change", ({ target }) => { localStorage.decimalComma = target.checked; });
    $("#order").replaceChildren(...Object.keys(ORDERS).map((name) => new Option(name)));
    $("#order").value = localStorage.order in ORDERS ? localStorage.order : "name";
    $("#order").addEventListener("change", () => { localStorage.order = $("#order").value; this.#draw(); });
    $("#as-list").addEventListener("click", () => { localStorage.list = localStorage.list === "true" ? "" : "true"; this.#draw(); });
    $("#nothing button").addEventListener("click", () => { $("#search").value = this.#state = this.#mark = ""; this.#draw(); });
    $("#import").addEventListener("change", (event) => this.#import(event.target));
    // Deleting an annotation deletes all readings: not where there are several.
    const remove = configuration.may_annotate && configuration.readers === 1 ? (row) => this.#askToDelete(row) : null;
    const cards = new Cards({ states: STATES, open, remove });
    const columns = () => Math.max(1, Math.floor(($("#cards").clientWidth + CARD.gap) / (CARD.least + CARD.gap)));
    const parts = (id) => ({ scroller: $(`#${id}`), before: $(`#${id} .before`), after: $(`#${id} .after`) });
    this.grid = new Window({ ...parts("grid"), holder: $("#cards"), columns, height: CARD.height + CARD.gap, draw: (row) => cards.cell(row) });
    this.list = new Window({ ...parts("list"), holder: $("#lines"), height: LINE, draw: (row) => listLine(row, STATES, open) });
    this.radiomics = new Radiomics();
    drawHead($("#list table"));
  }

  visible(is) {
    this.#visible = is;
    if (!is) return;
    this.#load();
    this.radiomics.look();
  }

  // Called with each status.
  update({ revision, images, model_version }) {
    const stamp = `${revision} ${images} ${model_version}`;
    const again = this.#looking && performance.now() - this.#asked > Math.max(LOOKING_MS, REST * this.#took);
    if (this.#visible && (stamp !== this.#stamp || again)) this.#load();
    this.#stamp = stamp;
  }

  // One request at a time; what changes meanwhile is asked for after it.
  async #load() {
    this.#stale = true;
    if (this.#loading) return;
    this.#loading = true;
    while (this.#stale) {
      this.#stale = false;
      await this.#ask().catch((error) => failed(error, { key: "cohort" }));
    }
    this.#loading = false;
  }

  async #ask() {
    this.#asked = performance.now();
    const cohort = await call("cohort");
    this.#took = performance.now() - this.#asked;
    this.#rows = cohort.rows;
    this.#looking = cohort.looking;
    const people = Object.entries(cohort.annotators).map(([name, n]) => `${name} ${n}`);
    $("#annotators").textContent = people.length ? `by ${people.join(", ")}` : "";
    leftOut(cohort.left_out);
    $("#remarks").textContent = cohort.remarks.join(" ");
    this.#draw();
    if (this.configuration.readers > 1) drawAgreement($("#agreement"), await call("agreement"));
  }

  #draw() {
    const counts = Object.fromEntries(Object.keys(STATES).map((state) => [state, 0]));
    for (const row of this.#rows) counts[row.state]++;
    $("#states").replaceChildren(...[["", `all ${this.#rows.length}`], ...Object.entries(STATES).map(([s, text]) => [s, `${text} ${counts[s]}`])].map(([state, text]) => {
      const button = Object.assign(document.createElement("button"), { textContent: text, className: state });
      button.setAttribute("aria-pressed", state === this.#state);
      button.addEventListener("click", () => { this.#state = state; this.#draw(); });
      return button;
    }));
    this.#drawMarks();
    const search = $("#search").value, list = localStorage.list === "true";
    const shown = filtered(this.#sorted.get(this.#rows, $("#order").value), { state: this.#state, search, mark: this.#mark });
    $("#as-list").setAttribute("aria-pressed", list);
    [$("#list").hidden, $("#grid").hidden] = [!list, list];
    (list ? this.list : this.grid).show(shown);
    this.#sayHidden(shown.length, search);
  }

  // Filters for what somebody is marked as; one that is chosen stays, also where it is nobody any more.
  #drawMarks() {
    const found = Object.entries(MARKS).map(([mark, is]) => [mark, this.#rows.filter(is).length]);
    $("#filters").replaceChildren(...found.filter(([mark, n]) => n || mark === this.#mark).map(([mark, n]) => {
      const button = Object.assign(document.createElement("button"), { textContent: `${mark} ${n}` });
      button.setAttribute("aria-pressed", mark === this.#mark);
      button.addEventListener("click", () => { this.#mark = mark === this.#mark ? "" : mark; this.#draw(); });
      return button;
    }));
  }

  // A filter that leaves nobody says so.
  #sayHidden(shown, search) {
    const hidden = this.#rows.length - shown;
    $("#nothing").hidden = shown > 0 || !hidden;
    const what = [this.#state && STATES[this.#state], this.#mark, search && `“${search}”`].filter(Boolean).join(" and ");
    $("#nothing span").textContent = `Nobody matches ${what}: all ${hidden} patients are hidden.`;
  }

  #askToDelete(row) {
    const { cancer_type, user } = row.annotation;
    const words = `${row.title}: delete the annotation, ${cancer_type} by ${user}? The patient is to be annotated again; the history keeps what was said.`;
    notice(words, { key: `delete ${row.image}`, stays: true, action: { text: "Delete", run: () => this.#delete(row) } });
  }

  async #delete(row) {
    try {
      const body = { time: row.annotation.time, annotator: this.configuration.user ?? await this.annotator(), all: true };
      await call(`${image(row.image)}/annotations/withdraw`, { method: "POST", body });
      notice(`${row.title}: the annotation was deleted. The history keeps it.`);
      this.forget(row.image);
    } catch (error) {
      failed(error, { about: `${row.title}: ` });
    }
    this.#load();
  }

  async #import(input) {
    const [file] = input.files;
    input.value = "";
    if (!file) return;
    const form = new FormData();
    form.append("file", file);
    try {
      const who = encodeURIComponent(this.configuration.user ?? await this.annotator());
      const told = await call(`annotations.csv?annotator=${who}`, { method: "POST", form });
      const parts = [`${told.recorded} recorded`, `${told.known} known already`];
      if (told.superseded) parts.push(`${told.superseded} superseded another`);
      notice(`${file.name}: ${parts.join(", ")}.`, { stays: true });
      if (told.refused.length) notice(`${told.refused.length} rows were refused. ${told.refused.slice(0, 4).join(". ")}`, { kind: "trouble" });
    } catch (error) {
      failed(error, { about: `${file.name}: ` });
    }
  }
}

// Files of the studies folder that are not listed, and why.
function leftOut(files) {
  const [summary, list] = $("#left-out").children;
  $("#left-out").hidden = !files.length;
  summary.textContent = `left out: ${files.length} ${files.length === 1 ? "file" : "files"}`;
  list.replaceChildren(...files.map(({ file, reason }) => Object.assign(document.createElement("li"), { textContent: `${file}: ${reason}` })));
}
