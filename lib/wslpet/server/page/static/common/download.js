// A file of the server, saved under the name that the server gives it.
import { call } from "./api.js";
import { failed } from "./notices.js";

export async function download(path) {
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
