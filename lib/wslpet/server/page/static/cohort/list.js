// The cohort as a table of numbers.
const COLUMNS = [
  ["patient", (row) => row.title], ["state", (row, states) => states[row.state]], ["type", (row) => row.annotation?.cancer_type],
  ["lesions", (row) => row.lesions], ["MTV, ml", (row) => row.mtv_ml?.toFixed(1)], ["by", (row) => row.annotation?.user],
  ["when", (row) => row.annotation && new Date(row.annotation.time).toLocaleString()],
  ["model", (row) => row.predicted && `${row.predicted} ${Math.round(100 * row.probability)} %`], ["remark", (row) => row.reason],
];
const element = (tag, text) => Object.assign(document.createElement(tag), { textContent: text ?? "" });

export function drawList(table, rows, states, open) {
  const head = document.createElement("tr");
  head.append(...COLUMNS.map(([name]) => element("th", name)));
  table.tHead.replaceChildren(head);
  table.tBodies[0].replaceChildren(...rows.map((row) => {
    const line = document.createElement("tr");
    line.dataset.image = row.image;
    line.className = row.state;
    line.append(...COLUMNS.map(([, value]) => element("td", value(row, states))));
    const name = Object.assign(element("a", row.title), { href: `#annotate/${encodeURIComponent(row.image)}` });
    line.firstChild.replaceChildren(name);
    line.addEventListener("click", (event) => { event.preventDefault(); open(row.image); });
    return line;
  }));
}
