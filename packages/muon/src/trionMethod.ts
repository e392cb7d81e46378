import { add, reshape, type Tensor3D } from '@tensorflow/tfjs-core';
import { DctTables } from './dctTables.js';
import { type LowRankOptions, rankOf } from './lowRank.js';
import { MatrixMethod, type MatrixPlan, type UnitStep } from './matrixMethod.js';
import { fromMatrices, type MatrixPiece, toMatrices } from './matrixView.js';
import type { MuonSettings, VariableInfo } from './options.js';
import { packPieces, pieceStateSize } from './pieceState.js';
import { stepValue } from './stepValue.js';
import type { SlotShapes, UnitInput } from './targets.js';
import { compress } from './trionUpdate.js';

/** Trion's settings: Muon's and those of the projection. */
export type TrionSettings = MuonSettings & Required<LowRankOptions>;

const ranks =
  (rank: number | 'full') =>
  ({ rows, columns }: MatrixPiece) =>
    rankOf('Trion', rank, rows, columns);

/** Trion: Muon in the subspace of a fixed basis in which the momentum is largest. */
export class TrionMethod extends MatrixMethod<TrionSettings> {
  readonly name = 'trion';
  readonly integerSlots = ['indices'];
  readonly tables = new DctTables();

  override slots(
    { shape }: VariableInfo,
    { settings, view }: MatrixPlan<TrionSettings>,
  ): SlotShapes {
    return { momentum: shape, indices: [pieceStateSize(view, ranks(settings.rank))] };
  }

  protected override begin(
    { members, gradient, state }: UnitInput<MatrixPlan<TrionSettings>>,
    step: number,
  ): UnitStep {
    const { settings, view } = members[0]!.plan;
    const count = members.length;
    const momentum = stepValue('momentum', settings.momentum, step, { min: 0, below: 1 });
    const accumulated = reshape(add(state.momentum!, gradient), [count, ...members[0]!.shape]);
    const steps = toMatrices(accumulated, view).map((M) => {
      const [m, n] = M.shape.slice(1) as [number, number];
      const rank = rankOf('Trion', settings.rank, m, n);
      const table = this.tables.get(settings.basis, Math.min(m, n));
      return compress(M, table, { ...settings, rank, momentum });
    });
    const pieces = steps.map(({ low, back }) => ({
      matrices: low as Tensor3D,
      orthogonalization: settings.orthogonalization,
      finish: back,
    }));
    return {
      pieces,
      state: () => {
        const left = steps.map((piece) => piece.momentum as Tensor3D);
        const flat = fromMatrices(left, view, count);
        const indices = packPieces(
          steps.map((piece) => piece.indices),
          count,
          view,
        );
        return { momentum: reshape(flat, [flat.size]), indices };
      },
    };
  }
}
