// Only what is on the screen, and a screen above and below it, is in the document: 2,000 patients are as quick as ten.
const AROUND = 1; // screens

export class Window {
  #rows = [];
  #lines = null; // [first, last) of the lines that are in the document
  #columns = 0;
  #shown = []; // elements in the document, of the rows from #from on
  #from = 0;
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
    this.#lines = null;
    this.#refresh();
  }

  #resized() {
    if (this.scroller.clientWidth === this.#width && this.#lines) return this.#refresh();
    this.#width = this.scroller.clientWidth;
    this.#columns = 0;
    this.#lines = null;
    this.#refresh();
  }

  #refresh() {
    const { scroller, height } = this, screen = scroller.clientHeight, top = scroller.scrollTop;
    if (!screen) return;
    const columns = (this.#columns ||= this.columns()), lines = Math.ceil(this.#rows.length / columns);
    const first = Math.max(0, Math.min(lines, Math.floor((top - AROUND * screen) / height)));
    const last = Math.min(lines, Math.ceil((top + (1 + AROUND) * screen) / height));
    if (this.#lines?.[0] === first && this.#lines[1] === last) return;
    this.#put(first * columns, Math.min(last * columns, this.#rows.length), this.#lines === null);
    this.#lines = [first, last];
    this.before.style.height = `${first * height}px`;
    this.after.style.height = `${Math.max(0, lines - last) * height}px`;
  }

  // Rows from `from` to before `to`. What stays in the document is left alone: to draw all anew at each scroll took four
  // times as long. anew: the rows are others.
  #put(from, to, anew) {
    const before = this.#shown, start = this.#from;
    const kept = (n) => (anew ? undefined : before[n - start]);
    this.#shown = Array.from({ length: Math.max(to - from, 0) }, (_, n) => kept(from + n) ?? this.draw(this.#rows[from + n]));
    this.#from = from;
    if (anew) return this.#replace();
    const stay = new Set(this.#shown);
    for (const element of before) if (!stay.has(element)) element.remove();
    let next = null;
    for (const element of this.#shown.toReversed()) {
      if (element.nextSibling !== next || !element.isConnected) this.holder.insertBefore(element, next);
      next = element;
    }
  }

  #replace() {
    const focused = document.activeElement;
    this.holder.replaceChildren(...this.#shown);
    if (focused && this.holder.contains(focused)) focused.focus({ preventScroll: true });
  }
}
