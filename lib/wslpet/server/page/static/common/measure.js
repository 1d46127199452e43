// Times for benchmarks, as the browser's performance entries.
const KEPT = 300; // of a name
const counts = new Map();

// start, end: as event.timeStamp and performance.now().
export function measure(name, start, end = performance.now()) {
  const count = (counts.get(name) ?? 0) + 1;
  counts.set(name, count);
  if (count <= KEPT) performance.measure(name, { start, end });
}

// Resolves when what is drawn in the next frame has been handed to the screen.
export function painted() {
  return new Promise((done) => requestAnimationFrame(() => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => { port1.close(); done(); };
    port2.postMessage(null); // a task: it runs after the frame was painted
  }));
}
