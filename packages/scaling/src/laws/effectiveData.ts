import { checkNumber } from '@orth/backend';
import type { PowerLaw } from './powerLawSearch.js';

function checkLaw(caller: string, law: PowerLaw): void {
  if (typeof law !== 'object' || law === null) {
    throw new TypeError(`${caller}: law must have A, alpha and E, got ${law}`);
  }
  checkNumber(caller, 'law.A', law.A, { above: 0 });
  checkNumber(caller, 'law.alpha', law.alpha, { above: 0 });
  checkNumber(caller, 'law.E', law.E, { min: 0 });
}

/** Demands losses that the law reaches. */
function checkLoss(caller: string, argument: string, loss: number, { E }: PowerLaw): void {
  checkNumber(caller, argument, loss);
  if (loss > E) return;
  throw new RangeError(
    `${caller}: ${argument} must be > ${E}, the law's asymptote, got ${loss}: no amount of data reaches it`,
  );
}

/**
 * How much data the baseline would need for a loss: D = (A/(L − E))^(1/alpha), the inverse of L(D) = A/D^alpha + E.
 *
 * @param loss - in nats, above the law's asymptote
 * @param law - the baseline's, as {@link fitPowerLaw} gives it
 * @returns in the unit that the law was fitted in
 * @throws RangeError if `loss` is not above `law.E`
 * @see Kim et al. 2025, "Pre-training under infinite compute", data efficiency
 */
export function effectiveData(loss: number, law: PowerLaw): number {
  const caller = 'effectiveData';
  checkLaw(caller, law);
  checkLoss(caller, 'loss', loss, law);
  return (law.A / (loss - law.E)) ** (1 / law.alpha);
}

/**
 * By what factor a recipe saves data: {@link effectiveData} of its loss over that of the baseline's loss on the same data.
 * @throws RangeError if a loss is not above `law.E`
 */
export function dataEfficiency(loss: number, law: PowerLaw, baselineLoss: number): number {
  const caller = 'dataEfficiency';
  checkLaw(caller, law);
  checkLoss(caller, 'loss', loss, law);
  checkLoss(caller, 'baselineLoss', baselineLoss, law);
  return ((baselineLoss - law.E) / (loss - law.E)) ** (1 / law.alpha);
}
