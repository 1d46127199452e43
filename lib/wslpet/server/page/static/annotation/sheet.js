// The words beside the pictures: types, figures, history.
import { inWords } from "../views/geometry.js";

const $ = (selector) => document.querySelector(selector);
const element = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });

export function figures(found) {
  return [
    ["volume", `${found.volume_ml.toFixed(1)} ml`], ["SUVmax", found.suv_max.toFixed(1)],
    ["SUVpeak", found.suv_peak.toFixed(1)], ["SUVmean", found.suv_mean.toFixed(1)],
    ["TLG", found.tlg.toFixed(0)],
  ];
}

export function drawFigures(found) {
  const pairs = found ? figures(found) : [];
  $("#figures").replaceChildren(...pairs.map(([name, value]) => {
    const pair = document.createElement("div");
    pair.append(element("dt", name), element("dd", value));
    return pair;
  }));
}

export function drawTypes(classes, choose) {
  $("#types").replaceChildren(...classes.map((type, number) => {
    const button = document.createElement("button");
    button.value = type;
    button.setAttribute("role", "radio");
    button.append(type, " ", element("kbd", number + 1));
    button.addEventListener("click", () => choose(number));
    return button;
  }));
}

// What the server inferred of the SUV, beside the patient's title.
export function drawNotes(notes) {
  $("#notes").hidden = !notes.length;
  $("#notes ul").replaceChildren(...notes.map((note) => element("li", note)));
}

export function drawHistory(history) {
  $("#history").hidden = !history.length;
  $("#history summary").textContent = `History (${history.length})`;
  $("#history ol").replaceChildren(...history.toReversed().map((said) => {
    const place = said.position ? `, ${inWords(said.position)}` : "";
    const what = said.kind === "seed" ? `${said.cancer_type}${place}` : "took it back";
    const line = element("li", `${new Date(said.time).toLocaleString()}  ${said.user}: ${what}`);
    line.classList.toggle("counts", said.counts);
    return line;
  }));
}
