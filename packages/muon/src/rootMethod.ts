import { type OrthogonalizeOptions, rootCoefficients } from '@orth/newton-schulz';
import {
  add,
  div,
  fill,
  mul,
  norm,
  reshape,
  type Tensor,
  type Tensor3D,
} from '@tensorflow/tfjs-core';
import { MatrixMethod, type MatrixPlan, type UnitStep } from './matrixMethod.js';
import { toMatrices } from './matrixView.js';
import type { MuonSettings, VariableInfo } from './options.js';
import { packPieces, pieceStateSize, unpackPieces } from './pieceState.js';
import { clip, quantileThreshold } from './softThresholdSplit.js';
import { stepValue } from './stepValue.js';
import type { SlotShapes, UnitInput } from './targets.js';

/** Where ROOT takes the triple `[a, b, c]` for a matrix shape from; it is used in every step. */
export type RootCoefficients =
  | 'published'
  | 'fitted'
  | Readonly<Record<string, readonly [number, number, number]>>
  | ((rows: number, columns: number) => readonly [number, number, number]);

/** ROOT's settings: Muon's and its own. */
export type RootSettings = MuonSettings & {
  readonly quantile: number;
  readonly threshold?: number;
  readonly thresholdEvery: number;
  readonly coefficients: RootCoefficients;
  readonly steps: number;
};

const one = () => 1;
/** Keeps the threshold of a zero matrix, relative to its norm, finite. */
const TINY = 1e-30;

/** ROOT: Muon whose momentum loses its outliers first, with one triple a matrix shape. */
export class RootMethod extends MatrixMethod<RootSettings> {
  readonly name = 'root';
  // In which steps a threshold is computed counts from a variable's own first update.
  override readonly countsUpdates = true;

  override slots(
    { shape }: VariableInfo,
    { settings, view }: MatrixPlan<RootSettings>,
  ): SlotShapes {
    // A fixed threshold is the same in every step: there is nothing to keep.
    if (settings.thresholdEvery === 1 || settings.threshold !== undefined)
      return { momentum: shape };
    return { momentum: shape, threshold: [pieceStateSize(view, one)] };
  }

  protected override begin(
    { members, gradient, state, update }: UnitInput<MatrixPlan<RootSettings>>,
    step: number,
  ): UnitStep {
    const { settings, view } = members[0]!.plan;
    const count = members.length;
    const mu = stepValue('momentum', settings.momentum, step, { min: 0, below: 1 });
    // M ← μ M + G, no running mean: thresholds are in the gradients' units.
    const momentum = add(mul(state.momentum!, mu), gradient);
    const lookahead = settings.nesterov ? add(gradient, mul(momentum, mu)) : momentum;
    const matrices = toMatrices(reshape(lookahead, [count, ...members[0]!.shape]), view);
    const kept = state.threshold && unpackPieces(state.threshold, count, view, one);
    const fresh = (update - 1) % settings.thresholdEvery === 0;
    const pieces = matrices.map((U, i) => {
      const threshold = kept && !fresh ? mul(kept[i]!, normOf(U)) : thresholdOf(U, settings);
      if (kept && fresh) kept[i] = div(reshape(threshold, [-1, 1]), add(normOf(U), TINY));
      return {
        matrices: clip(U, reshape(threshold, [U.shape[0]])) as Tensor3D,
        orthogonalization: iterationOf(U, settings),
      };
    });
    return {
      pieces,
      state: () => ({ momentum, ...(kept && { threshold: packPieces(kept, count, view) }) }),
    };
  }
}

/** Frobenius norm of each matrix, `[b, 1]`. */
const normOf = (U: Tensor3D): Tensor => reshape(norm(U, 'euclidean', [1, 2]), [U.shape[0], 1]);

const thresholdOf = (U: Tensor3D, { threshold, quantile }: RootSettings): Tensor =>
  threshold === undefined ? quantileThreshold(U, quantile) : fill([U.shape[0]], threshold);

/** A schedule that the user names himself takes the place of the triple. */
function iterationOf(U: Tensor3D, settings: RootSettings): OrthogonalizeOptions {
  const { orthogonalization, coefficients, steps } = settings;
  if (orthogonalization.method || orthogonalization.coefficients) return orthogonalization;
  const [rows, columns] = U.shape.slice(1) as [number, number];
  return { steps, ...orthogonalization, coefficients: [tripleOf(coefficients, rows, columns)] };
}

function tripleOf(coefficients: RootCoefficients, rows: number, columns: number) {
  if (typeof coefficients === 'string') return rootCoefficients(rows, columns, coefficients);
  if (typeof coefficients === 'function') return coefficients(rows, columns);
  const key = `${Math.min(rows, columns)}x${Math.max(rows, columns)}`;
  return coefficients[key] ?? rootCoefficients(rows, columns);
}
