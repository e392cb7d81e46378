import type { Random } from '@orth/backend';

/** Different places of `count`: the first steps of a shuffle; all in order if so many are asked for. */
export function sample(random: Random, count: number, size: number): number[] {
  if (size >= count) return Array.from({ length: count }, (_, i) => i);
  const moved = new Map<number, number>();
  return Array.from({ length: size }, (_, i) => {
    const j = random.integer(i, count - 1);
    const picked = moved.get(j) ?? j;
    moved.set(j, moved.get(i) ?? i);
    return picked;
  });
}
