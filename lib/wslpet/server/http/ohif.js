// Added to OHIF's configuration by this server; OHIF's own files are unchanged. Its panel has this server's address, and
// after an answer the views go to the lesion and its numbers are said.
(() => {
  const SHOWN_MS = 15000, AFTER_MS = 500; // over OHIF's own notice, which says less

  // OHIF takes the address from this cookie; without it, port 8000 of the host.
  document.cookie = `MONAILABEL_SERVER_URL=${encodeURIComponent(`${location.origin}/`)}; path=/ohif`;

  const { open } = XMLHttpRequest.prototype;
  XMLHttpRequest.prototype.open = function (method, address, ...more) {
    if (/^post$/i.test(method) && /\/infer\//.test(address)) this.addEventListener("load", () => setTimeout(() => answered(this), AFTER_MS));
    return open.call(this, method, address, ...more);
  };

  function answered(request) {
    if (request.status !== 200) return say("error", reason(request.response));
    const told = JSON.parse(request.getResponseHeader("Wslpet-Lesions") ?? "null");
    if (!told) return;
    const { lesions, count, mtv_ml } = told;
    if (!count) return say("info", "No lesion was found.");
    const lines = lesions.map((one) => `${one.cancer_type}: ${one.volume_ml.toFixed(1)} ml, SUVmax ${one.suv_max.toFixed(1)}, TLG ${one.tlg.toFixed(1)}`);
    const more = count > lesions.length ? ` … and ${count - lesions.length} more.` : "";
    say("success", `${lines.join("; ")}${more}${count > 1 ? ` In all ${mtv_ml.toFixed(1)} ml.` : ""}`);
    show(lesions[0].position);
  }

  function reason(content) {
    try {
      const text = content instanceof ArrayBuffer ? new TextDecoder().decode(content) : String(content);
      const { detail } = JSON.parse(text);
      return typeof detail === "string" ? detail : JSON.stringify(detail);
    } catch {
      return "The server failed; its log says why.";
    }
  }

  // position: mm RAS; cornerstone's axes are DICOM's, LPS.
  function show([x, y, z]) {
    for (const viewport of cornerstone.getRenderingEngines()[0].getViewports()) {
      if (!viewport.jumpToWorld) continue;
      viewport.jumpToWorld([-x, -y, z]);
      viewport.render();
    }
  }

  function say(type, message) {
    services.uiNotificationService.show({ title: "WSL-PET", message, type, duration: SHOWN_MS });
  }
})();
