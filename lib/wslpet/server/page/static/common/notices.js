// What the page has to say, in words; a notice with a key replaces the one before it.
const SECONDS = 7;
const shown = new Map();

export function notice(text, { kind = "info", key = text, stays = kind === "trouble", action } = {}) {
  withdraw(key);
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
  close.addEventListener("click", () => withdraw(key));
  line.append(close);
  document.querySelector("#notices").append(line);
  shown.set(key, line);
  if (!stays) setTimeout(() => { if (shown.get(key) === line) withdraw(key); }, SECONDS * 1000);
}

export function withdraw(key) {
  shown.get(key)?.remove();
  shown.delete(key);
}
