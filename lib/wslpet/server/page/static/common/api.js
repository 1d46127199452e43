// Requests to the server. A refusal is a sentence that says what to do; nothing else is ever thrown.

export class Refusal extends Error {
  constructor(message, status) {
    super(message);
    this.status = status; // 0: the server did not answer
  }
}

export const aborted = (error) => error.name === "AbortError";
let signIn = async () => false;
export const onSignIn = (ask) => { signIn = ask; };

export async function call(path, { method = "GET", body, form, signal, as = "json", keepalive = false } = {}) {
  const headers = {};
  if (sessionStorage.token) headers.Authorization = `Bearer ${sessionStorage.token}`;
  // Whose view it is, where the server knows no accounts: others' readings are hidden from who reads blind.
  if (localStorage.annotator) headers["Wslpet-Reader"] = encodeURIComponent(localStorage.annotator);
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(`api/${path}`, { method, headers, signal, keepalive, body: form ?? (body && JSON.stringify(body)) });
    if (answer.ok) return await read(answer, as);
  } catch (error) {
    if (aborted(error)) throw error;
    throw new Refusal("The server does not answer. It may be restarting; this page tries again.", 0);
  }
  if (answer.status === 401 && await signIn()) return call(path, { method, body, form, signal, as });
  throw new Refusal(await sentence(answer), answer.status);
}

// Twice: a name with "/" in it, of a scan in a subfolder, must not become a path on the way.
export const image = (name) => `images/${encodeURIComponent(encodeURIComponent(name))}`;

async function read(answer, as) {
  if (as === "numbers") return new Uint16Array(await answer.arrayBuffer());
  if (as === "signed") return new Int16Array(await answer.arrayBuffer());
  if (as === "file") return { blob: await answer.blob(), name: fileName(answer.headers.get("Content-Disposition") ?? "") };
  return as === "blob" ? answer.blob() : answer.json();
}

function fileName(disposition) {
  const encoded = disposition.match(/filename\*=UTF-8''([^;]+)/i)?.[1];
  return encoded ? decodeURIComponent(encoded) : disposition.match(/filename="?([^";]+)/i)?.[1] ?? "wslpet";
}

async function sentence(answer) {
  const detail = await answer.json().then((content) => content.detail, () => null);
  if (typeof detail === "string") return detail[0].toUpperCase() + detail.slice(1);
  if (Array.isArray(detail)) return detail.map((problem) => `${problem.loc.at(-1)}: ${problem.msg}`).join("; ");
  return `The server failed (${answer.status}). Its log says why; try again, then tell your administrator.`;
}

// The login server's token, through MONAI Label. Returns a sentence when it is refused, else nothing.
export async function fetchToken(form) {
  const answer = await fetch("../auth/token", { method: "POST", body: new URLSearchParams(form) }).catch(() => null);
  if (!answer) return "The server does not answer. Try again in a moment.";
  if (!answer.ok) return "Name or password was not accepted, or the login server does not answer.";
  sessionStorage.token = (await answer.json()).access_token;
}
