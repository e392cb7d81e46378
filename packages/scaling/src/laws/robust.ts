/** Huber's loss on log residuals, by least squares with weights that are computed again and again. */
import type { FitData, ScaledPowerLaw } from './powerLawSearch.js';

/** Threshold of Huber's loss on log losses, of Hoffmann et al. 2022. */
const THRESHOLD = 1e-3;
/** Thresholds on the way: a wide one first, so that the start does not decide which points count as outliers. */
const SCHEDULE = [0.1, 0.03, 0.01, 3e-3];
const ROUNDS = 40;

type Data = Omit<FitData, 'x'>;

/**
 * Minimises Σ Huber(log f − log y) with f of a family that `search` fits by weighted least squares. Each round linearises
 * log f about the last fit f₀: log f − log y ≈ (f − ỹ)/f₀ with ỹ = f₀(1 − log(f₀/y)), which is exact where it settles.
 */
export function robustWeights(
  logs: Float64Array,
  y: ArrayLike<number>,
  weights: ArrayLike<number> | undefined,
  search: (data: Data) => ScaledPowerLaw,
): { law: ScaledPowerLaw; data: Data } {
  const relative = Float64Array.from(y, (v, i) => (weights?.[i] ?? 1) / (v * v));
  let data: Data = { y, weights: relative };
  let law = search(data);
  for (let round = 0; round < ROUNDS; round++) {
    const threshold = SCHEDULE[Math.floor(round / 3)] ?? THRESHOLD;
    const targets = new Float64Array(y.length);
    const next = new Float64Array(y.length);
    for (let i = 0; i < y.length; i++) {
      const f = law.A * Math.exp(-law.alpha * logs[i]!) + law.E;
      const residual = Math.log(f / y[i]!);
      const huber = Math.min(1, threshold / Math.abs(residual));
      targets[i] = f * (1 - residual);
      next[i] = ((weights?.[i] ?? 1) * huber) / (f * f);
    }
    data = { y: targets, weights: next };
    const found = search(data);
    const change = Math.abs(found.E - law.E) + Math.abs(found.alpha - law.alpha);
    law = found;
    if (round > 3 * SCHEDULE.length && change < 1e-10) break;
  }
  return { law, data };
}
