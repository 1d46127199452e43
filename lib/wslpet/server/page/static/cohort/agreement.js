// How the readers of the cohort agree: a row for each two of them.
const COLUMNS = [
  ["readers", (pair) => pair.readers.join(" and ")],
  ["patients", (pair) => pair.patients],
  ["same type", (pair) => `${Math.round(100 * pair.types_agree)} %`],
  ["kappa", (pair) => pair.kappa?.toFixed(2) ?? "–"],
  ["lesions", (pair) => pair.lesions.join(" and ")],
  ["matched", (pair) => (pair.lesions_agree === null ? "–" : `${pair.matched} (${Math.round(100 * pair.lesions_agree)} %)`)],
  ["Dice, mean", (pair) => pair.dice_mean.toFixed(2)],
  ["Dice, median", (pair) => pair.dice_median.toFixed(2)],
  ["TMTV bias, ml", (pair) => pair.tmtv_bias_ml.toFixed(1)],
  ["limits of agreement, ml", (pair) => pair.tmtv_limits_ml?.map((ml) => ml.toFixed(1)).join(" to ") ?? "–"],
];
const element = (tag, text) => Object.assign(document.createElement(tag), { textContent: text ?? "" });
const line = (tag, texts) => {
  const row = document.createElement("tr");
  row.append(...texts.map((text) => element(tag, text)));
  return row;
};

// root: a <details> with a table; needed: readers per patient.
export function drawAgreement(root, { needed, pairs, pending }) {
  root.hidden = needed < 2;
  const waiting = pending ? `, ${pending} still to be compared` : "";
  root.querySelector("summary").textContent = `agreement of readers: ${pairs.length ? pairs.reduce((all, pair) => all + pair.patients, 0) : "none yet"}${waiting}`;
  const table = root.querySelector("table");
  table.hidden = !pairs.length;
  table.tHead.replaceChildren(line("th", COLUMNS.map(([name]) => name)));
  table.tBodies[0].replaceChildren(...pairs.map((pair) => line("td", COLUMNS.map(([, value]) => value(pair)))));
}
