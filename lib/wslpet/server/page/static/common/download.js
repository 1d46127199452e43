// A file of the server, saved under the name that the server gives it.
import { call } from "./api.js";
import { failed } from "./notices.js";

// path: of a table with a decimal comma where the reader wishes it, as Excel in German or French opens it.
export async function download(path) {
  if (localStorage.decimalComma === "true" && /\.csv\b|form=csv/.test(path)) path += `${path.includes("?") ? "&" : "?"}separator=%3B`;
  try {
    const { blob, name } = await call(path, { as: "file" });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  } catch (error) {
    failed(error, { key: "download" });
  }
}
