// Colour maps: a share of the SUV window, 0 to 1 → [red, green, blue], 0 to 255.

const PAPER = 242; // the white of inverse grey; full white glares in a dark room

// Between given colours, evenly spaced.
const between = (...stops) => (share) => {
  const at = share * (stops.length - 1), low = Math.min(Math.floor(at), stops.length - 2), part = at - low;
  return stops[low].map((value, channel) => value + (stops[low + 1][channel] - value) * part);
};

export const MAPS = {
  "inverse grey": between([PAPER, PAPER, PAPER], [0, 0, 0]),
  grey: between([0, 0, 0], [PAPER, PAPER, PAPER]),
  hot: between([0, 0, 0], [128, 0, 0], [255, 64, 0], [255, 160, 0], [255, 232, 90], [255, 255, 255]),
  // Viridis: as light as it is high, for readers who tell few colours apart.
  viridis: between([68, 1, 84], [65, 68, 135], [42, 120, 142], [34, 168, 132], [122, 209, 81], [253, 231, 37]),
};

export const isDark = (name) => name !== "inverse grey";

// Steps of the picture's numbers → pixels, as ImageData stores them (little-endian: alpha, blue, green, red).
export function table({ low, high, map }, step) {
  const shades = new Uint32Array(65536);
  const width = Math.max(high - low, 0.01);
  for (let n = 0; n < 65536; n++) {
    const [r, g, b] = MAPS[map](Math.min(Math.max((n * step - low) / width, 0), 1));
    shades[n] = pixel(r, g, b);
  }
  return shades;
}

// Under a fused CT: PET in hot over the CT's grey. share: of the PET, 0 to 1.
export function fused(numbers, hounsfield, out, index, { shades, share, low, high }) {
  const width = high - low;
  for (let i = 0; i < out.length; i++) {
    const at = index(i);
    const grey = Math.min(Math.max((hounsfield[at] - low) / width, 0), 1) * 255 * (1 - share), shade = shades[numbers[at]];
    out[i] = pixel(grey + (shade & 255) * share, grey + ((shade >> 8) & 255) * share, grey + ((shade >> 16) & 255) * share);
  }
}

const pixel = (r, g, b) => (0xff000000 | (Math.min(b, 255) << 16) | (Math.min(g, 255) << 8) | Math.min(r, 255)) >>> 0;
