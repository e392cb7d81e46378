/** Sums over the modes of a spectrum. All terms are positive, so blocks summed with compensation keep 14 digits. */
import type { Modes } from './modes.js';

const BLOCK = 256;

/** Σ term(i) over 0 ≤ i < size: plain within blocks, Kahan's compensation between them. */
export function compensatedSum(size: number, term: (i: number) => number): number {
  let sum = 0;
  let lost = 0;
  for (let start = 0; start < size; start += BLOCK) {
    const end = Math.min(start + BLOCK, size);
    let block = 0;
    for (let i = start; i < end; i++) block += term(i);
    const y = block - lost;
    const next = sum + y;
    lost = next - sum - y;
    sum = next;
  }
  return sum;
}

/** z = Σ L and p = Σ L(1 − L) = z − q at γ, with L = λ/(λ+γ). */
export function learnabilitySums(
  { eigenvalues, multiplicity }: Modes,
  gamma: number,
): { z: number; p: number } {
  let [z, p, lostZ, lostP] = [0, 0, 0, 0];
  for (let start = 0; start < eigenvalues.length; start += BLOCK) {
    const end = Math.min(start + BLOCK, eigenvalues.length);
    let blockZ = 0;
    let blockP = 0;
    for (let i = start; i < end; i++) {
      const inverse = 1 / (eigenvalues[i]! + gamma);
      let L = eigenvalues[i]! * inverse;
      // 1 − L without cancellation.
      const rest = gamma * inverse;
      if (multiplicity) L *= multiplicity[i]!;
      blockZ += L;
      blockP += L * rest;
    }
    const y = blockZ - lostZ;
    const nextZ = z + y;
    lostZ = nextZ - z - y;
    z = nextZ;
    const w = blockP - lostP;
    const nextP = p + w;
    lostP = nextP - p - w;
    p = nextP;
  }
  return { z, p };
}

/** Σ (1 − L)(1 − L + L·share) v², and Σ v² over modes that nothing learns: the bias, with share = 1 − ρ. */
export function biasSum({ eigenvalues, power, unlearnable }: Modes, gamma: number, share: number) {
  const learnable = compensatedSum(eigenvalues.length, (i) => {
    const inverse = 1 / (eigenvalues[i]! + gamma);
    const rest = gamma * inverse;
    return rest * (rest + eigenvalues[i]! * inverse * share) * power[i]!;
  });
  return learnable + unlearnable;
}
