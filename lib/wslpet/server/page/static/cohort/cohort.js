// All patients at a glance.
import { call, image } from "../common/api.js";
import { download } from "../common/download.js";
import { failed, notice } from "../common/notices.js";
import { drawList } from "./list.js";
import { filtered, ORDERS, sorted } from "./order.js";

const STATES = {
  unannotated: "○ to annotate", annotated: "● annotated", disagreement: "◆ model disagrees", unreadable: "✕ unreadable",
};
const LOOKING_MS = 3000, AT_ONCE = 3;
const $ = (selector) => document.querySelector(selector);

export class CohortTab {
  #rows = [];
  #state = "";
  #cards = new Map();
  #visible = false;
  #stamp = "";
  #looking = false;
  #asked = 0;
  #thumbnails = new Queue(AT_ONCE);

  // open, forget: what to do with an image's name when it is to be shown, or what is known of it is void.
  constructor(configuration, { open, forget, annotator }) {
    Object.assign(this, { configuration, open, forget, annotator });
    $("#search").addEventListener("input", () => this.#draw());
    const tables = { export: "annotations.csv", "export-history": "annotations.csv?history=true", "export-lesions": "lesions.csv", "export-patients": "patients.csv" };
    for (const [id, path] of Object.entries(tables)) $(`#${id}`).addEventListener("click", () => download(path));
    $("#order").replaceChildren(...Object.keys(ORDERS).map((name) => new Option(name)));
    $("#order").value = localStorage.order in ORDERS ? localStorage.order : "name";
    $("#order").addEventListener("change", () => { localStorage.order = $("#order").value; this.#draw(); });
    $("#as-list").addEventListener("click", () => { localStorage.list = localStorage.list === "true" ? "" : "true"; this.#draw(); });
    $("#nothing button").addEventListener("click", () => { $("#search").value = this.#state = ""; this.#draw(); });
    $("#import").addEventListener("change", (event) => this.#import(event.target));
    this.seen = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) if (isIntersecting) this.#thumbnail(target);
    }, { rootMargin: "300px" });
  }

  visible(is) {
    this.#visible = is;
    if (is) this.#load();
  }

  // Called with each status.
  update({ revision, images, model_version }) {
    const stamp = `${revision} ${images} ${model_version}`;
    const again = this.#looking && performance.now() - this.#asked > LOOKING_MS;
    if (this.#visible && (stamp !== this.#stamp || again)) this.#load();
    this.#stamp = stamp;
  }

  async #load() {
    this.#asked = performance.now();
    try {
      const cohort = await call("cohort");
      this.#rows = cohort.rows;
      this.#looking = cohort.looking;
      const people = Object.entries(cohort.annotators).map(([name, n]) => `${name} ${n}`);
      $("#annotators").textContent = people.length ? `by ${people.join(", ")}` : "";
      leftOut(cohort.left_out);
      $("#remarks").textContent = cohort.remarks.join(" ");
      this.#draw();
    } catch (error) {
      failed(error, { key: "cohort" });
    }
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
    const search = $("#search").value, list = localStorage.list === "true";
    const shown = sorted(filtered(this.#rows, { state: this.#state, search }), $("#order").value);
    $("#as-list").setAttribute("aria-pressed", list);
    [$("#list").hidden, $("#grid").hidden] = [!list, list];
    if (list) drawList($("#list table"), shown, STATES, this.open);
    else $("#grid").replaceChildren(...shown.map((row) => this.#cell(row)));
    this.#sayHidden(shown.length, search);
  }

  // A filter that leaves nobody says so.
  #sayHidden(shown, search) {
    const hidden = this.#rows.length - shown;
    $("#nothing").hidden = shown > 0 || !hidden;
    const what = [this.#state && STATES[this.#state], search && `“${search}”`].filter(Boolean).join(" and ");
    $("#nothing span").textContent = `Nobody matches ${what}: all ${hidden} patients are hidden.`;
  }

  // A patient's card, and beside it what deletes the annotation, where there is one.
  #cell(row) {
    const card = this.#card(row), cell = card.parentElement ?? document.createElement("div");
    cell.className = "cell";
    cell.replaceChildren(card);
    if (row.annotation && this.configuration.may_annotate) {
      const remove = Object.assign(document.createElement("button"), { textContent: "×", className: "delete quiet", title: "Delete the annotation" });
      remove.setAttribute("aria-label", `Delete the annotation of ${row.title}`);
      remove.addEventListener("click", () => this.#ask(row));
      cell.append(remove);
    }
    return cell;
  }

  #ask(row) {
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

  #card(row) {
    let card = this.#cards.get(row.image);
    if (!card) {
      card = document.createElement("button");
      card.append(document.createElement("img"), document.createElement("strong"), document.createElement("span"), document.createElement("small"));
      card.dataset.image = row.image;
      card.firstChild.alt = "";
      card.addEventListener("click", () => this.open(row.image));
      this.#cards.set(row.image, card);
      this.seen.observe(card);
    }
    const [, title, state, details] = card.children;
    card.className = `card ${row.state}`;
    title.textContent = row.title;
    state.textContent = STATES[row.state];
    const said = row.annotation && `${row.annotation.cancer_type} by ${row.annotation.user}, ${new Date(row.annotation.time).toLocaleDateString()}`;
    const model = row.predicted && `model: ${row.predicted} ${Math.round(100 * row.probability)} %`;
    details.textContent = [said, row.reason || model].filter(Boolean).join("\n");
    return card;
  }

  async #thumbnail(card) {
    this.seen.unobserve(card);
    await this.#thumbnails.run(async () => {
      const picture = await call(`${image(card.dataset.image)}/thumbnail`, { as: "blob" });
      card.firstChild.src = URL.createObjectURL(picture);
    }).catch((error) => { card.title = error.message; });
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

// A few tasks at a time, in the order they came.
class Queue {
  #waiting = [];
  #running = 0;

  constructor(atOnce) {
    this.atOnce = atOnce;
  }

  run(task) {
    return new Promise((done, failed) => {
      this.#waiting.push(() => task().then(done, failed).finally(() => { this.#running--; this.#advance(); }));
      this.#advance();
    });
  }

  #advance() {
    while (this.#running < this.atOnce && this.#waiting.length) {
      this.#running++;
      this.#waiting.shift()();
    }
  }
}
