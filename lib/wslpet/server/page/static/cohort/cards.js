// The cards of the cohort: a thumbnail with clicks and outlines, and what is known of the patient.
import { call, image } from "../common/api.js";

const AT_ONCE = 3, KEPT = 400; // cards with their pictures

export class Cards {
  #cards = new Map(); // image → { card, of }: which annotation its picture shows
  #thumbnails = new Queue(AT_ONCE);

  // states: state → words; open: an image's name; remove: a row whose annotation is to be deleted, or null.
  constructor({ states, open, remove }) {
    Object.assign(this, { states, open, remove });
  }

  // A patient's card, and beside it what deletes the annotation, where there is one.
  cell(row) {
    const card = this.#card(row), cell = card.parentElement ?? document.createElement("div");
    cell.className = "cell";
    cell.replaceChildren(card);
    if (row.annotation && this.remove) {
      const remove = Object.assign(document.createElement("button"), { textContent: "×", className: "delete quiet", title: "Delete the annotation" });
      remove.setAttribute("aria-label", `Delete the annotation of ${row.title}`);
      remove.addEventListener("click", () => this.remove(row));
      cell.append(remove);
    }
    return cell;
  }

  #card(row) {
    const kept = this.#cards.get(row.image) ?? { card: this.#empty(row.image), of: null };
    this.#cards.delete(row.image);
    this.#cards.set(row.image, kept);
    if (this.#cards.size > KEPT) this.#cards.delete(this.#cards.keys().next().value);
    const [, title, state, details] = kept.card.children;
    kept.card.className = `card ${row.state}`;
    title.textContent = row.title;
    state.textContent = [this.states[row.state], ...marksOf(row)].join(" ");
    details.textContent = wordsOf(row);
    kept.card.title = [row.title, details.textContent, ...row.comments].join("\n");
    const of = row.annotation && row.lesions !== null ? row.annotation.time : "";
    if (kept.of !== of) this.#thumbnail(kept, row.image, of);
    return kept.card;
  }

  #empty(name) {
    const card = document.createElement("button");
    card.append(document.createElement("img"), document.createElement("strong"), document.createElement("span"), document.createElement("small"));
    card.dataset.image = name;
    card.firstChild.alt = "";
    card.addEventListener("click", () => this.open(name));
    return card;
  }

  // of: when the annotation was made whose clicks and outlines the picture shows; "" is none.
  async #thumbnail(kept, name, of) {
    kept.of = of;
    await this.#thumbnails.run(async () => {
      if (!kept.card.isConnected) return void (kept.of = null); // scrolled past
      const picture = await call(`${image(name)}/thumbnail${of && "?marks=true"}`, { as: "blob" });
      URL.revokeObjectURL(kept.card.firstChild.src);
      kept.card.firstChild.src = URL.createObjectURL(picture);
      kept.card.dataset.marks = Boolean(of);
    }).catch((error) => { kept.card.title = error.message; });
  }
}

// Flag, doubt and comments, and how far several readers are, in signs with words.
export function marksOf({ readings, flagged, unsure, comments }) {
  const readers = readings && (readings.reviewed ? "reviewed" : `${readings.done}/${readings.needed} read`);
  return [readers, flagged && "⚑ flag", unsure && "? unsure", comments.length && "✎"].filter(Boolean);
}

function wordsOf(row) {
  const said = row.annotation && `${row.annotation.cancer_type} by ${row.annotation.user}, ${new Date(row.annotation.time).toLocaleDateString()}`;
  const model = row.predicted && `model: ${row.predicted} ${Math.round(100 * row.probability)} %`;
  return [said, row.differs || row.reason || model].filter(Boolean).join("\n");
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
      setTimeout(() => this.#advance());
    });
  }

  #advance() {
    while (this.#running < this.atOnce && this.#waiting.length) {
      this.#running++;
      this.#waiting.shift()();
    }
  }
}
