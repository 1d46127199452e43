// The page: who is here, which tab is open, what the server says meanwhile, and the keys.
import { call, fetchToken, onSignIn } from "./common/api.js";
import { Annotator } from "./annotation/annotate.js";
import { CohortTab } from "./cohort/cohort.js";
import { failed, notice, withdraw } from "./common/notices.js";
import { Outbox } from "./common/outbox.js";
import { TrainingTab } from "./training/training.js";

const POLL_MS = 2000, TRAINING_POLL_MS = 1000;
const $ = (selector) => document.querySelector(selector);
const TABS = ["annotate", "cohort", "training"];

let annotator, cohort, training, status, silent = false;
const outbox = new Outbox();
sessionStorage.client ??= Math.random().toString(36).slice(2);

const KEYS = [
  ["1 … 9", "cancer type", /^[1-9]$/, (key) => annotator.lesions.chooseType(Number(key) - 1)],
  ["Enter", "save, and on to the next patient", /^Enter$/, (key, event) => annotator.save(event.timeStamp)],
  ["Z", "undo: the last change, then the last patient saved or skipped; Ctrl+Z, too", /^z$/i, () => annotator.undo()],
  ["N", "skip this patient", /^n$/i, () => annotator.skip()],
  ["Page up", "the patient before", /^PageUp$/, () => annotator.previous()],
  ["M", "what the model thinks: lesion, CAM, figures", /^m$/i, () => annotator.opinion.toggle()],
  ["C", "CAM on and off", /^c$/i, () => annotator.opinion.toggleCam()],
  ["D", "what differs from normal uptake, in place of the CAM", /^d$/i, () => annotator.unusual.toggle()],
  ["A", "agree with the model, save, next", /^a$/i, () => annotator.agree()],
  ["L", "next lesion", /^l$/i, () => annotator.lesions.next()],
  ["+  -", "a larger, a smaller contour of the lesion", /^[+=-]$/, (key) => annotator.lesions.contour({ by: key === "-" ? -1 : 1 })],
  ["K", "next method of the contour", /^k$/i, () => annotator.lesions.nextMethod()],
  ["B", "not this part: click on what is no tumour", /^b$/i, () => annotator.lesions.toggleCut()],
  ["E", "make the lesion the primary", /^e$/i, () => annotator.lesions.makePrimary()],
  ["Delete", "delete the lesion", /^(Delete|Backspace)$/, () => annotator.lesions.remove()],
  ["[  ]", "a narrower, a wider SUV window", /^[[\]]$/, (key) => annotator.viewer.scaleWindow(key === "[" ? 1 / 1.15 : 1.15)],
  ["W  0", "next SUV window: 0 to 5, 7, 10, 15; 0 to 10", /^[w0]$/i, (key) => (key === "0" ? annotator.viewer.setWindow(0, 10) : annotator.controls.nextPreset())],
  ["I", "next colour map: inverse grey, grey, hot, viridis", /^i$/i, () => annotator.viewer.nextMap()],
  ["T", "CT under the PET, where there is one", /^t$/i, () => annotator.controls.ct()],
  ["H", "hide all marks, show them", /^h$/i, () => annotator.controls.marks()],
  ["G  U", "flag the patient for somebody else; you are unsure", /^[gu]$/i, (key) => annotator.review.toggle(/g/i.test(key) ? "flag" : "unsure")],
  ["V", "the next reader's reading, when all have read the patient", /^v$/i, () => annotator.review.next()],
  ["R", "ruler: drag to measure", /^r$/i, () => annotator.controls.ruler()],
  ["↑  ↓", "next axial slice up, down", /^Arrow(Up|Down)$/, (key, event) => annotator.viewer.step(key === "ArrowUp" ? 1 : -1, 2, event.timeStamp)],
  ["Shift and arrows", "move the cross left, right, forward, back", "shift", moveCross],
  ["Space", "a click at the cross", /^ $/, (key, event) => annotator.lesions.clickAtCross(event.timeStamp)],
  ["X", "slices at the cross twice, four times as large", /^x$/i, () => annotator.viewer.magnify()],
  ["←  →", "turn the patient", /^Arrow(Left|Right)$/, (key) => annotator.viewer.turn(key === "ArrowLeft" ? -1 : 1)],
  ["P", "cine: the patient turns, and stops", /^p$/i, () => annotator.controls.cine()],
  ["F", "front view, whole body", /^f$/i, () => annotator.viewer.front()],
  ["?", "these keys", /^\?$/, () => $("#help").showModal()],
];

// The patient's right is at the left of the screen.
function moveCross(key) {
  const [axis, by] = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [1, 1], ArrowDown: [1, -1] }[key];
  annotator.viewer.step(by, axis);
}

async function start() {
  $("#keys").replaceChildren(...KEYS.flatMap(([keys, what]) => [element("dt", keys), element("dd", what)]));
  onSignIn(signIn);
  let configuration;
  while (!configuration) configuration = await call("configuration").catch(waitForServer);
  withdraw("server");
  $("#strategy").replaceChildren(...configuration.strategies.map(({ name, description }) => Object.assign(new Option(name), { title: description })));
  $("#strategy").value = localStorage.strategy ?? configuration.strategies[0]?.name;
  $("#strategy").addEventListener("change", () => { localStorage.strategy = $("#strategy").value; });
  annotator = new Annotator(configuration, outbox, () => configuration.user ?? nameOf());
  cohort = new CohortTab(configuration, {
    open: (image) => { location.hash = "annotate"; openTab(); annotator.show(image); }, // laid out in a tab that is seen
    forget: (image) => annotator.forget(image),
    annotator: nameOf,
  });
  training = new TrainingTab(configuration, nameOf);
  listenToOutbox();
  if (configuration.user) showName(configuration.user);
  else { showName(await nameOf()); $("#who").addEventListener("click", rename); }
  addEventListener("hashchange", openTab);
  addEventListener("keydown", onKey);
  // A page that is closed has no patient open any more: others may have them at once.
  addEventListener("pagehide", () => call("status", { method: "POST", body: { client: sessionStorage.client, open: [] }, keepalive: true }).catch(() => {}));
  // What was clicked with a pointer gives the keys back to the page: Enter is "save", not History once more.
  addEventListener("click", ({ target, detail }) => detail && target.closest("button, summary, a")?.blur());
  $("#version").textContent = `WSL-PET ${configuration.version}. Research software, not for clinical use.`;
  $("#help-open").addEventListener("click", () => $("#help").showModal());
  openTab();
  await poll();
  const { length } = outbox.waiting;
  if (length) notice(`${length} annotation${length > 1 ? "s" : ""} from before the reload ${length > 1 ? "are" : "is"} being sent now; nothing is lost.`);
  outbox.flush();
  await annotator.start(decodeURIComponent(location.hash.match(/^#annotate\/(.+)$/)?.[1] ?? ""));
  document.body.dataset.ready = "true";
}

async function waitForServer(error) {
  failed(error, { key: "server" });
  await new Promise((later) => setTimeout(later, POLL_MS));
}

function openTab() {
  const [, name, patient] = location.hash.match(/^#([a-z]*)\/?(.*)$/) ?? [];
  const tab = TABS.find((one) => one === name) ?? TABS[0];
  if (patient && document.body.dataset.ready) annotator.openByAddress(decodeURIComponent(patient));
  for (const one of TABS) $(`#${one}`).hidden = one !== tab;
  for (const link of document.querySelectorAll("nav a")) link.toggleAttribute("aria-current", link.hash === `#${tab}`);
  cohort.visible(tab === "cohort");
  training.visible(tab === "training");
}

function onKey(event) {
  const typing = event.target.closest("input:not([type=range]), select, textarea");
  if (event.key.startsWith("Arrow") && event.target.closest("input")) return;
  const undoing = (event.ctrlKey || event.metaKey) && /^z$/i.test(event.key);
  if (((event.ctrlKey || event.metaKey) && !undoing) || event.altKey || typing || document.querySelector("dialog[open]")) return;
  const arrow = event.shiftKey && event.key.startsWith("Arrow");
  const found = KEYS.find(([, , pattern]) => (arrow || pattern === "shift" ? arrow && pattern === "shift" : pattern.test(event.key)));
  if (!found || ($("#annotate").hidden && event.key !== "?")) return;
  if (["Enter", " "].includes(event.key) && event.target.closest("button, summary, a, input")) return; // the keyboard's own click
  event.preventDefault();
  found[3](event.key, event);
}

// What changed meanwhile: annotations by others, a new model, a training, a server that was restarted.
async function poll() {
  const before = status;
  try {
    status = await call("status", { method: "POST", body: { client: sessionStorage.client, open: annotator.open } });
    if (silent) answersAgain(before);
    showStatus(before);
  } catch (error) {
    if (!silent) failed(error, { key: "server" });
    silent = true;
  }
  const busy = ["waiting", "running"].includes(status?.training.state);
  setTimeout(poll, busy ? TRAINING_POLL_MS : POLL_MS);
}

function answersAgain(before) {
  silent = false;
  withdraw("server");
  const what = before && before.boot !== status.boot ? "The server was restarted" : "The server answers again";
  const { length } = outbox.waiting;
  notice(`${what}. Nothing is lost${length ? `: ${length} annotation${length > 1 ? "s are" : " is"} being sent` : ""}.`, { key: "again" });
  withdraw("next");
  outbox.flush();
  annotator.answersAgain();
}

function showStatus(before) {
  const { annotated, images, unreadable, model_version, trouble } = status;
  [$("#done").max, $("#done").value] = [Math.max(images - unreadable, 1), status.read ?? annotated];
  $("#done-text").textContent = `${progress(status)}${unreadable ? `, ${unreadable} unreadable` : ""}`;
  if (trouble) notice(trouble, { kind: "trouble", key: "trouble" });
  else withdraw("trouble");
  const remarks = status.remarks.join(" ");
  if (remarks && remarks !== before?.remarks.join(" ")) notice(remarks, { kind: "trouble", key: "remarks" });
  else if (!remarks) withdraw("remarks");
  annotator.lookAgain();
  if (before && before.revision !== status.revision) annotator.othersAnnotated();
  if (before && model_version && before.model_version !== model_version) annotator.opinion.renew(model_version);
  cohort.update(status);
  training.update(status);
}

function progress({ annotated, images, unreadable, read, complete, reviewed }) {
  const all = images - unreadable;
  return read === null ? `${annotated} of ${all} annotated` : `you: ${read} of ${all} read; ${complete} by all, ${reviewed} reviewed`;
}

function listenToOutbox() {
  outbox.addEventListener("saved", ({ detail }) => annotator.stored(detail));
  outbox.addEventListener("refused", ({ detail }) => annotator.refused(detail));
  outbox.addEventListener("change", () => {
    const { length } = outbox.waiting;
    $("#busy").textContent = length ? `saving ${length}…` : "";
    document.body.dataset.saving = length;
  });
  outbox.addEventListener("delayed", ({ detail }) => failed(detail.error, { about: "Saving waits and is tried again. ", key: "server" }));
}

// Who annotates. Leaving the dialog keeps the name that there was; where there was none, it asks again.
async function nameOf(anew = false) {
  const dialog = $("#name"), input = dialog.querySelector("input");
  while (anew || !localStorage.annotator) {
    anew = false;
    dialog.returnValue = "";
    input.value = localStorage.annotator ?? "";
    dialog.showModal();
    await new Promise((closed) => dialog.addEventListener("close", closed, { once: true }));
    if (dialog.returnValue === "named") localStorage.annotator = input.value.trim();
  }
  return localStorage.annotator;
}

// Another reader sees other readings: nothing of the former one's view stays.
async function rename() {
  const before = localStorage.annotator;
  showName(await nameOf(true));
  if (localStorage.annotator !== before) location.reload();
}

function showName(name) {
  $("#who").textContent = name;
}

let signingIn = null;

// One dialog, however many requests were refused; whether somebody signed in.
function signIn() {
  signingIn ??= new Promise((signedIn) => {
    const dialog = $("#login"), form = dialog.querySelector("form");
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    form.onsubmit = async (event) => {
      event.preventDefault();
      const trouble = await fetchToken(new FormData(form));
      if (trouble) { $("#login-trouble").textContent = trouble; return; }
      dialog.close();
      signingIn = null;
      signedIn(true);
    };
    dialog.showModal();
  });
  return signingIn;
}

function element(tag, text) {
  return Object.assign(document.createElement(tag), { textContent: text });
}

start();
