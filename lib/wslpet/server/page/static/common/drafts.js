// Clicks and types that were not saved: kept in this browser, through a reload, a skip, and a look at another patient.
const KEY = "wslpet.drafts";

// { image, type, position, skipped }, newest last.
const all = () => JSON.parse(localStorage.getItem(KEY) ?? "[]");

const others = (image) => all().filter((draft) => draft.image !== image);

export const draftOf = (image) => all().find((draft) => draft.image === image) ?? null;

// That of the patient who was on the screen last, unless it was skipped.
export const openDraft = () => all().findLast((draft) => !draft.skipped) ?? null;

export function keepDraft(draft) {
  localStorage.setItem(KEY, JSON.stringify([...others(draft.image), draft]));
}

export function dropDraft(image) {
  localStorage.setItem(KEY, JSON.stringify(others(image)));
}
