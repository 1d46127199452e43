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
  "burden (MTV)": falling((row) => row.mtv_ml),
  lesions: falling((row) => row.lesions),
};

export const sorted = (rows, order) => rows.toSorted((a, b) => ORDERS[order](a, b) || byName(a, b));

export function filtered(rows, { state, search }) {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  return rows.filter((row) => {
    const text = `${row.image} ${row.title} ${row.annotation?.cancer_type ?? ""} ${row.annotation?.user ?? ""} ${row.reason}`.toLowerCase();
    return (!state || row.state === state) && words.every((word) => text.includes(word));
  });
}
