// The list of the lesions on the desk, what can be done to the chosen one, and the burden of all.
const $ = (selector) => document.querySelector(selector);
const element = (tag, text, more = {}) => Object.assign(document.createElement(tag), { textContent: text, ...more });

export class LesionList {
  // does: { choose(n), remove(n), primary(n) }, n from 0.
  constructor(methods, does) {
    this.does = does;
    $("#method").replaceChildren(...methods.map((method) => new Option(method)));
  }

  // found: as the server delineated them, or null; chosen: which of them.
  draw(found, chosen) {
    const lesions = found?.lesions ?? [], lesion = lesions[chosen];
    $("#lesions tbody").replaceChildren(...lesions.map((one, n) => this.#row(one, n, n === chosen)));
    const many = lesions.length > 1, mtv = many ? `MTV ${found.mtv_ml.toFixed(1)} ml · ` : ""; // of one lesion it is the volume
    $("#burden").textContent = lesions.length ? `${mtv}TLG ${found.tlg.toFixed(0)} · ${lesions.length} ${many ? "lesions" : "lesion"}` : "";
    for (const id of ["grow", "shrink", "method", "not-this"]) $(`#${id}`).disabled = !lesion;
    if (lesion) $("#method").value = lesion.contour.method;
  }

  #row(lesion, n, chosen) {
    const row = document.createElement("tr");
    row.setAttribute("aria-current", chosen);
    row.title = `SUVpeak ${lesion.suv_peak.toFixed(1)}, SUVmean ${lesion.suv_mean.toFixed(1)}, TLG ${lesion.tlg.toFixed(0)}`;
    const step = lesion.contour.step ? ` ${lesion.contour.step > 0 ? "+" : "−"}${Math.abs(lesion.contour.step)}` : "";
    const pick = element("button", `${lesion.number}`, { className: "quiet" });
    pick.setAttribute("aria-label", `lesion ${lesion.number}: choose it and look there`);
    pick.addEventListener("click", () => this.does.choose(n));
    row.append(cell(pick), element("td", `${lesion.volume_ml.toFixed(1)} ml`), element("td", lesion.suv_max.toFixed(1)), element("td", `${lesion.contour.method}${step}`), cell(this.#primary(n), this.#delete(lesion, n)));
    row.addEventListener("click", ({ target }) => !target.closest("button") && this.does.choose(n));
    return row;
  }

  #primary(n) {
    const button = element("button", n ? "☆" : "★", { className: "quiet", title: n ? "Make it the primary (E)" : "The primary", disabled: !n });
    button.setAttribute("aria-label", n ? `make lesion ${n + 1} the primary` : "lesion 1 is the primary");
    button.addEventListener("click", () => this.does.primary(n));
    return button;
  }

  #delete({ number }, n) {
    const button = element("button", "×", { className: "quiet", title: "Delete (Del)" });
    button.setAttribute("aria-label", `delete lesion ${number}`);
    button.addEventListener("click", () => this.does.remove(n));
    return button;
  }
}

function cell(...content) {
  const made = document.createElement("td");
  made.append(...content);
  return made;
}
