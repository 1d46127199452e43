// The words beside the pictures: types, figures, history.
import { download } from "../common/download.js";
import { image } from "../common/api.js";
import { inWords } from "../views/geometry.js";

const $ = (selector) => document.querySelector(selector);
const element = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });

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

// The saved lesions of the patient as files.
const FORMS = { csv: "CSV", nifti: "NIfTI", figures: "Figures PDF", seg: "DICOM SEG", rtstruct: "RTSTRUCT", sr: "DICOM SR" };

export function drawExports(name) {
  $("#exports").replaceChildren(...Object.entries(FORMS).map(([form, text]) => {
    const button = element("button", text);
    button.addEventListener("click", () => download(`${image(name)}/export?form=${form}`));
    return button;
  }));
}

export function drawHistory(history) {
  $("#history").hidden = !history.length;
  $("#history summary").textContent = `History (${history.length})`;
  $("#history ol").replaceChildren(...history.toReversed().map((said) => {
    const more = said.seeds.length > 1 ? `, ${said.seeds.length} lesions` : "";
    const place = said.position ? `${more}, ${inWords(said.position)}` : "";
    const noted = [said.flag && "flag", said.unsure && "unsure", said.comment].filter(Boolean).join(", ") || "no remark any more";
    const what = { seed: `${said.review ? "consensus: " : ""}${said.cancer_type}${place}`, remark: noted, withdrawn: "took it back" }[said.kind];
    const line = element("li", `${new Date(said.time).toLocaleString()}  ${said.user}: ${what}`);
    line.classList.toggle("counts", said.counts);
    return line;
  }));
}
