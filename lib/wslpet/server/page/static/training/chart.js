// A small line chart of figures by epoch.
const WIDTH = 460, HEIGHT = 220, LEFT = 44, RIGHT = 12, TOP = 26, BOTTOM = 26;

// lines: [field, name], the first solid, the second dashed.
export function chart(figure, title, epochs, total, lines, top) {
  const values = epochs.flatMap((epoch) => lines.map(([field]) => epoch[field])).filter(Number.isFinite);
  const high = top ?? Math.max(...values, 1e-6) * 1.05, low = top ? 0 : Math.min(...values, 0);
  const x = (epoch) => LEFT + ((epoch - 1) / Math.max((total || 2) - 1, 1)) * (WIDTH - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - ((value - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": inWords(title, epochs, lines) });
  picture.append(text(title, LEFT, 14, "name"));
  for (const share of [0, 0.5, 1]) {
    const value = low + share * (high - low);
    picture.append(svg("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value), class: "rule" }));
    picture.append(text(value.toFixed(high < 10 ? 2 : 0), LEFT - 6, y(value) + 4, "end"));
  }
  if (total) picture.append(text("1", LEFT, HEIGHT - 8), text(`epoch ${total}`, WIDTH - RIGHT, HEIGHT - 8, "end"));
  lines.forEach(([field, name], n) => {
    const points = epochs.filter((epoch) => Number.isFinite(epoch[field])).map((epoch) => `${x(epoch.epoch)},${y(epoch[field])}`);
    picture.append(svg("polyline", { points: points.join(" "), class: `line${n}` }));
    const at = WIDTH - RIGHT - 190 + 100 * n;
    picture.append(svg("line", { x1: at, x2: at + 20, y1: 10, y2: 10, class: `line${n}` }), text(name, at + 25, 14));
  });
  figure.replaceChildren(picture);
}

// For who does not see the curves: where they are now.
function inWords(title, epochs, lines) {
  const last = epochs.at(-1);
  const values = lines.filter(([field]) => Number.isFinite(last?.[field])).map(([field, name]) => `${name} ${last[field].toFixed(2)}`);
  return `${title} by epoch${values.length ? `; epoch ${last.epoch}: ${values.join(", ")}` : ""}`;
}

function svg(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function text(content, x, y, className = "") {
  const element = svg("text", { x, y, class: className });
  element.textContent = content;
  return element;
}
