// What a reader has said of the patient on the screen and not saved yet: a type, a seed for each lesion, the primary first,
// and places that are no tumour. Each change gives a new desk, so that undo is the one before.
export const OURS = "ours";
const MAX_STEP = 20;

// { type, seeds: [{ position mm, contour: { method, step } }], background: [position] }
export const empty = () => ({ type: null, seeds: [], background: [] });

// Of an annotation, a draft, or one that was kept by an older page: with `position` in place of seeds.
export function deskOf({ type, cancer_type, seeds, position, background }) {
  const places = seeds?.length ? seeds : position ? [{ position }] : [];
  return { type: type ?? cancer_type ?? null, seeds: places.map(seedOf), background: background ?? [] };
}

const seedOf = ({ position, contour }) => ({ position, contour: { method: contour?.method ?? OURS, step: contour?.step ?? 0 } });

export const typed = (desk, type) => ({ ...desk, type });

export const added = (desk, ...positions) => ({ ...desk, seeds: [...desk.seeds, ...positions.map((position) => seedOf({ position }))] });

export const cut = (desk, position) => ({ ...desk, background: [...desk.background, position] });

// Without a lesion; numbers: of its seeds. The places that were cut off go with the last lesion.
export function removed(desk, numbers) {
  const seeds = desk.seeds.filter((seed, n) => !numbers.includes(n));
  return { ...desk, seeds, background: seeds.length ? desk.background : [] };
}

// A lesion's seeds first.
export function primary(desk, numbers) {
  const [first, others] = [true, false].map((is) => desk.seeds.filter((seed, n) => numbers.includes(n) === is));
  return { ...desk, seeds: [...first, ...others] };
}

// A lesion's contour larger (1) or smaller (-1), or by another method.
export function contoured(desk, numbers, { by = 0, method }) {
  const changed = ({ method: before, step }) => ({ method: method ?? before, step: method ? 0 : Math.min(Math.max(step + by, -MAX_STEP), MAX_STEP) });
  return { ...desk, seeds: desk.seeds.map((seed, n) => (numbers.includes(n) ? { ...seed, contour: changed(seed.contour) } : seed)) };
}

// Whether the lesions of both look the same: the type does not matter.
export const sameLesions = (one, other) => JSON.stringify([one.seeds, one.background]) === JSON.stringify([other.seeds, other.background]);
