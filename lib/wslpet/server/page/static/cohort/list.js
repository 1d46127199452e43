// The cohort as a table of numbers.
import { marksOf } from "./cards.js";

const COLUMNS = [
  ["patient", (row) => row.title], ["state", (row, states) => [states[row.state], ...marksOf(row)].join(" ")], ["type", (row) => row.annotation?.cancer_type],
  ["lesions", (row) => row.lesions], ["MTV, ml", (row) => row.mtv_ml?.toFixed(1)], ["by", (row) => row.annotation?.user],
  ["when", (row) => row.annotation && new Date(row.annotation.time).toLocaleString()],
  ["Dice of readers", (row) => row.dice?.toFixed(2)],
  ["model", (row) => row.predicted && `${row.predicted} ${Math.round(100 * row.probability)} %`],
  ["remark", (row) => [row.differs || row.reason, ...row.comments].filter(Boolean).join(" · ")],
];
const element = (tag, text) => Object.assign(document.createElement(tag), { textContent: text ?? "" });

export function drawHead(table) {
  const head = document.createElement("tr");
  head.append(...COLUMNS.map(([name]) => element("th", name)));
  table.tHead.replaceChildren(head);
}

export function listLine(row, states, open) {
  const line = document.createElement("tr");
  line.dataset.image = row.image;
  line.className = row.state;
  line.append(...COLUMNS.map(([, value]) => {
    const cell = element("td", value(row, states));
    cell.title = cell.textContent;
    return cell;
  }));
  line.firstChild.replaceChildren(Object.assign(element("a", row.title), { href: `#annotate/${encodeURIComponent(row.image)}` }));
  line.addEventListener("click", (event) => { event.preventDefault(); open(row.image); });
  return line;
}
