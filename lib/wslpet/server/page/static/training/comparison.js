// The model in use and a new one, side by side on the patients who judge; and what the reader decides.
import { call, image } from "../common/api.js";

const element = (tag, text = "", more = {}) => Object.assign(document.createElement(tag), { textContent: text, ...more });

// What the test says, in words.
export function verdict({ judgement, decision }) {
  const decided = decision ? ` ${decision.user} decided ${decision.use ? "to use it" : "to keep the one before"}, ${new Date(decision.time).toLocaleString()}.` : "";
  if (!judgement) return `There was no model to compare it with.${decided}`;
  const { found, missed, types } = counts(judgement.patients), n = judgement.patients.length;
  const words = { better: "better", worse: "worse", "cannot tell": "cannot tell" }[judgement.verdict];
  const p = judgement.verdict === "cannot tell" ? "" : ` (p ${Math.min(judgement.p_better, judgement.p_worse).toFixed(3)})`;
  return `New model: ${words}${p}. Of ${n} patients who judge: lesions found ${found[0]} before, ${found[1]} now; missed ${missed[0]}, ${missed[1]}; types right ${types[0]}, ${types[1]}.${decided}`;
}

// Of the model before and of the new one.
export function counts(patients) {
  const count = (holds) => ["before", "after"].map((which) => patients.filter((one) => holds(one[which], one)).length);
  return {
    found: count((answer) => answer.found === true), missed: count((answer) => answer.found === false),
    types: count((answer, one) => answer.cancer_type === one.cancer_type),
  };
}

// decide(use): for this run's weights, or for those before; null where the reader may not.
export function drawComparison(root, run, decide) {
  root.hidden = !run || run.state !== "done";
  if (root.hidden) return;
  const table = element("table");
  const head = element("tr");
  head.append(...["", "patient", "type", "model before", "new model"].map((text) => element("th", text)));
  table.append(head, ...(run.judgement?.patients ?? []).map(row));
  const said = element("p", verdict(run));
  root.replaceChildren(element("h2", "Old and new model"), said, ...(decide && run.has_weights ? [buttons(decide)] : []), ...(run.judgement?.patients.length ? [table] : []));
}

function buttons(decide) {
  const group = element("div", "", { className: "act small" });
  for (const [text, use] of [["Use the new model", true], ["Keep the one before", false]]) {
    const button = element("button", text);
    button.addEventListener("click", () => decide(use));
    group.append(button);
  }
  return group;
}

function row(one) {
  const line = element("tr"), name = element("td"), picture = element("td");
  name.append(element("a", one.name, { href: `#annotate/${encodeURIComponent(one.name)}` }));
  picture.append(thumbnail(one.name));
  line.append(picture, name, element("td", one.cancer_type), answer(one.before, one), answer(one.after, one));
  return line;
}

function answer({ found, cancer_type, error_mm }, one) {
  const place = found === null ? "" : `${found ? "✓ found" : "✕ missed"}, ${error_mm.toFixed(0)} mm away; `;
  return element("td", `${place}${cancer_type === one.cancer_type ? "✓" : "✕"} ${cancer_type}`);
}

// Fetched with the account of whoever looks, as all else.
function thumbnail(name) {
  const picture = element("img", "", { alt: "", height: 64 });
  call(`${image(name)}/thumbnail`, { as: "blob" }).then((blob) => { picture.src = URL.createObjectURL(blob); }, () => {});
  return picture;
}
