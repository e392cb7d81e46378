import { checkNumber } from '@orth/backend';
import { fitPowerLaw, type PowerLawFit, type PowerLawOptions } from './powerLaw.js';

/** One measured ensemble. */
export interface EnsembleLoss {
  /** Parameters of a member, > 0. */
  readonly N: number;
  /** Members, > 0. */
  readonly K: number;
  readonly loss: number;
}

/** What {@link jointAsymptote} finds. */
export interface JointAsymptote {
  /** Law over K for each N, ascending; its `E` is C_N, the loss of infinitely many members. */
  readonly perN: readonly { readonly N: number; readonly law: PowerLawFit }[];
  /** Law over N of those C_N. */
  readonly law: PowerLawFit;
  /** Its asymptote: the loss of infinitely many infinitely large members. */
  readonly E: number;
}

/**
 * Loss of infinitely many infinitely large members: first K → ∞ for each member size N, then N → ∞ over what that gives.
 * The order matters: at any finite K a large member is another thing than many.
 *
 * @param table - losses at three or more K for each of three or more N, in any order
 * @param options - of both fits
 * @throws TypeError or RangeError for too few sizes or members, or a wrong entry
 * @see Kim et al. 2025, "Pre-training under infinite compute", joint scaling recipe
 */
export function jointAsymptote(
  table: readonly EnsembleLoss[],
  options: Omit<PowerLawOptions, 'weights'> = {},
): JointAsymptote {
  const caller = 'jointAsymptote';
  if (!Array.isArray(table)) {
    throw new TypeError(`${caller}: table must be an array of {N, K, loss}, got ${typeof table}`);
  }
  table.forEach(({ N, K, loss }, i) => {
    checkNumber(caller, `table[${i}].N`, N, { above: 0 });
    checkNumber(caller, `table[${i}].K`, K, { above: 0 });
    checkNumber(caller, `table[${i}].loss`, loss);
  });
  const sizes = [...new Set(table.map(({ N }) => N))].sort((a, b) => a - b);
  if (sizes.length < 3) {
    throw new RangeError(`${caller}: table must have 3 distinct N, got ${sizes.length}`);
  }
  for (const N of sizes) {
    const members = new Set(table.filter((row) => row.N === N).map(({ K }) => K)).size;
    if (members < 3) {
      throw new RangeError(`${caller}: table must have 3 distinct K for N = ${N}, got ${members}`);
    }
  }
  const perN = sizes.map((N) => {
    const rows = table.filter((row) => row.N === N);
    const law = fitPowerLaw(
      rows.map(({ K }) => K),
      rows.map(({ loss }) => loss),
      options,
    );
    return { N, law };
  });
  const law = fitPowerLaw(
    sizes,
    perN.map(({ law: { E } }) => E),
    options,
  );
  return { perN, law, E: law.E };
}
