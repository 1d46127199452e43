// What the reader changed about the patient on the screen and has not saved: each change is kept as a draft.
import { draftOf, dropDraft, keepDraft } from "../../common/drafts.js";
import { notice } from "../../common/notices.js";
import { deskOf, empty } from "../desk.js";
import { saidBefore } from "../review.js";

export class Unsaved {
  changed = false;

  constructor(walk, lesions, refresh) {
    Object.assign(this, { walk, lesions, refresh });
    lesions.addEventListener("edit", () => this.edited());
  }

  // The draft, if there is one; else what is on record.
  putWhatWasSaid(patient) {
    const { image: name, title } = patient, current = saidBefore(patient);
    const recorded = current ? deskOf(current) : empty();
    const draft = draftOf(name);
    if (draft) {
      this.lesions.before.push(recorded);
      this.put(deskOf(draft));
      notice(`${title}: your click from before is here again, not saved yet.`, { key: "draft" });
    } else if (current) this.put(recorded, false);
    else this.refresh();
  }

  // What was said before.
  put(desk, changed = true) {
    this.lesions.put(desk);
    this.edited(changed);
  }

  edited(changed = true) {
    const { image: name } = this.walk.patient;
    this.changed = changed;
    if (changed) keepDraft({ image: name, ...this.lesions.desk });
    else dropDraft(name);
    this.refresh();
  }

  skip({ image: name, title }) {
    if (!this.changed) return;
    keepDraft({ image: name, ...this.lesions.desk, skipped: true });
    this.changed = false;
    notice(`${title}: skipped; your click is kept, not saved. Z brings it back.`, { key: "skipped" });
  }

  // Another patient is opened, or none, perhaps before this one was saved.
  leave(before, patient) {
    if (this.changed && before.image !== patient?.image) {
      const run = () => this.walk.show(before.image);
      notice(`${before.title}: your click there was not saved; it is kept as a draft.`, { key: "left", stays: true, action: { text: "Back to it", run } });
    }
    this.changed = false;
  }
}
