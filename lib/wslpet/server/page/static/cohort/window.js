// Only what is on the screen, and a screen above and below it, is in the document: 2,000 patients are as quick as ten.
const AROUND = 1; // screens

export class Window {
  #rows = [];
  #shown = "";
  #width = 0;

  // scroller: an element that scrolls; holder: in it, what the items are put into; before, after: as tall as what is not
  // there; columns: how many items stand side by side; height: of a line of items, all the same; draw: item → element.
  constructor({ scroller, holder, before, after, columns = () => 1, height, draw }) {
    Object.assign(this, { scroller, holder, before, after, columns, height, draw });
    scroller.addEventListener("scroll", () => this.#refresh(), { passive: true });
    new ResizeObserver(() => this.#resized()).observe(scroller);
  }

  show(rows) {
    this.#rows = rows;
    this.#shown = "";
    this.#refresh();
  }

  #resized() {
    if (this.scroller.clientWidth === this.#width && this.#shown) return this.#refresh();
    this.#width = this.scroller.clientWidth;
    this.#shown = "";
    this.#refresh();
  }

  #refresh() {
    const { scroller, holder } = this, screen = scroller.clientHeight;
    if (!screen) return;
    const columns = this.columns(), height = this.height, lines = Math.ceil(this.#rows.length / columns);
    const first = Math.max(0, Math.floor((scroller.scrollTop - AROUND * screen) / height));
    const last = Math.min(lines, Math.ceil((scroller.scrollTop + (1 + AROUND) * screen) / height));
    const shown = `${first} ${last} ${columns}`;
    if (shown === this.#shown) return;
    this.#shown = shown;
    const focused = document.activeElement;
    holder.replaceChildren(...this.#rows.slice(first * columns, last * columns).map(this.draw));
    if (focused && holder.contains(focused)) focused.focus({ preventScroll: true });
    this.before.style.height = `${first * height}px`;
    this.after.style.height = `${Math.max(0, lines - last) * height}px`;
  }
}
