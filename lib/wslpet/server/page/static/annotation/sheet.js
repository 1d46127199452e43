// The words beside the pictures: types, files, history, what is on the way, what is missing, a place.
import { download } from "../common/download.js";
import { image } from "../common/api.js";
import { inWords, toWorld } from "../views/geometry.js";

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

// In place of the pictures: why no patient is on the screen; "" when one is.
export function drawEmpty(words) {
  if (words) $("#empty").textContent = words;
  $("#empty").hidden = !words;
  $("#annotate").classList.toggle("none", Boolean(words));
}

// The saved lesions of the patient as files.
const FORMS = { csv: "CSV", nifti: "NIfTI", figures: "Figures PDF", png: "Figures PNG", seg: "DICOM SEG", rtstruct: "RTSTRUCT", sr: "DICOM SR" };

// study: where OHIF opens the series, too; empty of files.
export function drawExports(name, study) {
  $("#ohif").hidden = !study;
  $("#ohif").href = `../ohif/monai-label?StudyInstanceUIDs=${encodeURIComponent(study)}`;
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

const CLICK_WORDS = "Click on the tumour, in any picture.";

// A series' name is its UID: a PACS sends it first.
export function fetchingWords(name) {
  const series = /^[0-9.]+$/.test(name);
  const words = series ? "The next patient is being fetched from the archive and converted to SUV; the first use of a series can take a minute." : `${name} is being read.`;
  return `${words} The cohort can be looked at meanwhile.`;
}

// What an annotation lacks to be saved; "" is nothing. none: its type is "no tumour".
export function lackingWords({ type, seeds }, none) {
  if (!type) return "Choose the cancer type first: a key from 1 up, or its button.";
  return seeds.length || none ? "" : "Click on the tumour first, in any picture.";
}

// No patient is on the screen; silent: the server did not answer.
export function nobodyWords({ left, skipped }, silent) {
  if (silent) return "The server does not answer. The next patient opens when it does.";
  const passed = skipped.size ? ` ${skipped.size} skipped; N shows them again.` : "";
  return `${left?.message ?? ""}${passed} The cohort shows them all.`;
}

// at: under the pointer; else the newest seed.
export function readoutWords({ affine }, at, seed) {
  if (at) return `SUV ${at.suv.toFixed(2)}   ${inWords(toWorld(affine, at.voxel))}`;
  return seed ? `Seed   ${inWords(seed.position)}` : CLICK_WORDS;
}
