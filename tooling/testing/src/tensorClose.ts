import { Tensor } from '@tensorflow/tfjs-core';

/** Numbers agree when |got − want| <= atol + rtol·|want|. */
export interface Tolerance {
  readonly rtol: number;
  readonly atol: number;
}

type Values = Tensor | ArrayLike<number>;

/** The worst entry of a comparison. */
export interface WorstEntry {
  /** Greatest |got − want|; NaN on one side only counts as Infinity. */
  readonly error: number;
  /** How far the worst entry is over its allowance; <= 0 when all agree. */
  readonly excess: number;
  readonly index: number;
  readonly got: number;
  readonly want: number;
}

const valuesOf = (x: Values): ArrayLike<number> => (x instanceof Tensor ? x.dataSync() : x);

/** Compares flat arrays of one length and finds the entry that is furthest over its allowance. */
export function compareValues(
  got: ArrayLike<number>,
  want: ArrayLike<number>,
  { rtol, atol }: Tolerance,
): WorstEntry {
  let worst: WorstEntry = { error: 0, excess: -Infinity, index: -1, got: 0, want: 0 };
  let error = 0;
  for (let index = 0; index < want.length; index++) {
    const g = got[index]!;
    const w = want[index]!;
    const same = Object.is(g, w) || g === w || (Number.isNaN(g) && Number.isNaN(w));
    const distance = same ? 0 : Math.abs(g - w);
    const e = Number.isNaN(distance) ? Infinity : distance;
    const allowance = Number.isFinite(w) ? atol + rtol * Math.abs(w) : atol;
    error = Math.max(error, e);
    if (e - allowance > worst.excess)
      worst = { error, excess: e - allowance, index, got: g, want: w };
  }
  return { ...worst, error };
}

/**
 * Demands that two tensors (or flat arrays) agree; the message names the worst index and both values.
 * A tensor's shape must agree too.
 */
export function expectTensorClose(
  got: Values,
  want: Values,
  tolerance: Partial<Tolerance> = {},
): void {
  if (got instanceof Tensor && want instanceof Tensor && `${got.shape}` !== `${want.shape}`) {
    throw new Error(`shapes differ: got [${got.shape}], want [${want.shape}]`);
  }
  const [g, w] = [valuesOf(got), valuesOf(want)];
  if (g.length !== w.length) throw new Error(`sizes differ: got ${g.length}, want ${w.length}`);
  const worst = compareValues(g, w, { rtol: 1e-5, atol: 1e-6, ...tolerance });
  if (worst.excess > 0) {
    throw new Error(
      `tensors differ: worst at flat index ${worst.index}, got ${worst.got}, want ${worst.want} (max error ${worst.error})`,
    );
  }
}

/** Greatest absolute difference of two tensors or flat arrays of one size. */
export function maxError(got: Values, want: Values): number {
  return compareValues(valuesOf(got), valuesOf(want), { rtol: 0, atol: 0 }).error;
}
