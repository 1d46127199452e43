// What the page has to say, in words; a notice with a key replaces the one before it.
const SECONDS = 7;
// LogRecord once, whoever asked: the page, a click, a save, the list of next patients.
export const SILENT = "The server does not answer; the page goes on trying. What you save is kept in this browser and sent when it answers.";
const shown = new Map();

export function notice(text, { kind = "info", key = text, stays = kind === "trouble", action } = {}) {
  const before = shown.get(key);
  const line = document.createElement("p");
  line.className = kind;
  line.append(text);
  if (action) {
    const button = document.createElement("button");
    button.textContent = action.text;
    button.addEventListener("click", () => { withdraw(key); action.run(); });
    line.append(" ", button);
  }
  const close = document.createElement("button");
  close.className = "quiet";
  close.textContent = "×";
  close.title = "Close";
  close.setAttribute("aria-label", "Close this notice");
  close.addEventListener("click", () => withdraw(key));
  line.append(close);
  if (before) before.replaceWith(line);
  else document.querySelector("#notices").append(line);
  shown.set(key, line);
  if (!stays) setTimeout(() => { if (shown.get(key) === line) withdraw(key); }, SECONDS * 1000);
}

// A request was refused, or the server does not answer.
export function failed(error, { about = "", ...options }) {
  if (error.status === 0) return notice(SILENT, { kind: "trouble", key: "server" });
  return notice(about + error.message, { kind: "trouble", ...options });
}

export function withdraw(key) {
  shown.get(key)?.remove();
  shown.delete(key);
}
