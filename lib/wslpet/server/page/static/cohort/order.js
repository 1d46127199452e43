// Which patients of the cohort are shown, and in what order.
const natural = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
const RANK = { disagreement: 0, unreadable: 1, annotated: 2, unannotated: 3 };
// What is not known comes last.
const falling = (value) => (a, b) => (value(b) ?? -Infinity) - (value(a) ?? -Infinity);

// Patient 2 before patient 10, whatever order files or a PACS list them in.
const byName = (a, b) => natural.compare(a.title, b.title) || natural.compare(a.image, b.image);

export const ORDERS = {
  name: byName,
  "last annotated": falling((row) => (row.annotation ? Date.parse(row.annotation.time) : null)),
  disagreement: (a, b) => RANK[a.state] - RANK[b.state],
  "readers differ": falling((row) => (row.dice === null || row.dice === undefined ? null : (row.differs.startsWith("readers: ") ? 1 : 0) + 1 - row.dice)),
  "burden (MTV)": falling((row) => row.mtv_ml),
  lesions: falling((row) => row.lesions),
};

export const sorted = (rows, order) => rows.toSorted((a, b) => ORDERS[order](a, b) || byName(a, b));

// Rows in an order, sorted again only when they are others; rows that come again in the former order are sorted faster.
export class Sorted {
  #of = null;
  #order = "";
  #found = [];

  get(rows, order) {
    if (this.#of === rows && this.#order === order) return this.#found;
    const before = new Map(this.#found.map(({ image }, n) => [image, n])), last = this.#found.length;
    const nearly = rows.toSorted((a, b) => (before.get(a.image) ?? last) - (before.get(b.image) ?? last));
    [this.#of, this.#order, this.#found] = [rows, order, sorted(nearly, order)];
    return this.#found;
  }
}

// What a patient may be marked as, beside its state.
export const MARKS = {
  "to review": ({ readings }) => readings?.open && !readings.reviewed,
  reviewed: ({ readings }) => readings?.reviewed,
  "readers differ": ({ differs }) => Boolean(differs),
  flagged: ({ flagged }) => flagged,
  unsure: ({ unsure }) => unsure,
  commented: ({ comments }) => comments.length > 0,
};

export function filtered(rows, { state, search, mark }) {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const found = (row) => words.every((word) => textOf(row).includes(word));
  return rows.filter((row) => (!state || row.state === state) && (!mark || MARKS[mark](row)) && found(row));
}

const texts = new WeakMap(); // row → what a search looks through

function textOf(row) {
  if (!texts.has(row)) {
    const parts = [row.image, row.title, row.annotation?.cancer_type, row.annotation?.user, row.reason, row.differs, ...row.comments ?? []];
    texts.set(row, parts.join(" ").toLowerCase());
  }
  return texts.get(row);
}
