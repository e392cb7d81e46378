import { reshape, type Tensor, type Tensor3D } from '@tensorflow/tfjs-core';
import { type LowRankAdamOptions, lowRankAdam } from './dctAdamWUpdate.js';
import { DctTables } from './dctTables.js';
import { type LowRankOptions, lowShape, lowSize, rankOf } from './lowRank.js';
import { MatrixMethod, type MatrixPlan, type UnitStep } from './matrixMethod.js';
import { fromMatrices, type MatrixPiece, type MatrixView, toMatrices } from './matrixView.js';
import type { MuonSettings, VariableInfo } from './options.js';
import { packPieces, pieceStateSize, unpackPieces } from './pieceState.js';
import { type CodeBits, dequantizeRows, quantizeRows, wordsOf } from './quantizeRows.js';
import { NOT_NEGATIVE, type SlotRule, type SlotShapes, type UnitInput } from './targets.js';

/** DCT-AdamW's settings; of Muon's, those about matrices, schedules and decay. */
export type DctAdamWSettings = MuonSettings &
  Required<LowRankOptions> &
  Omit<LowRankAdamOptions, 'rank' | 'step'> & {
    readonly errorBits: 0 | CodeBits;
    readonly maxShape: number;
  };

type Plan = MatrixPlan<DctAdamWSettings>;

const rankIn =
  (rank: number | 'full') =>
  ({ rows, columns }: MatrixPiece) =>
    rankOf('DctAdamW', rank, rows, columns);
const words =
  (bits: CodeBits) =>
  ({ rows, columns }: MatrixPiece) =>
    wordsOf(rows * columns, bits);
const ends = ({ rows }: MatrixPiece) => 2 * rows;

/** DCT-AdamW: AdamW on coordinates along vectors of a fixed basis, with error feedback. */
export class DctAdamWMethod extends MatrixMethod<DctAdamWSettings> {
  readonly name = 'dctAdamW';
  override readonly countsUpdates = true;
  readonly integerSlots = ['indices', 'errorCodes'];
  readonly tables = new DctTables();

  override slots({ shape }: VariableInfo, { settings, view }: Plan): SlotShapes {
    const { rank, errorFeedback, errorBits } = settings;
    const moment = [pieceStateSize(view, lowSize(rank))];
    return {
      indices: [pieceStateSize(view, rankIn(rank))],
      firstMoment: moment,
      secondMoment: moment,
      ...(errorFeedback && errorBits === 0 && { error: shape }),
      ...(errorFeedback &&
        errorBits > 0 && {
          errorCodes: [pieceStateSize(view, words(errorBits as CodeBits))],
          errorRange: [pieceStateSize(view, ends)],
        }),
    };
  }

  slotRule(slot: string, { settings, view }: Plan): SlotRule | undefined {
    if (slot === 'secondMoment') return NOT_NEGATIVE;
    if (slot !== 'indices') return undefined;
    const sides = view.pieces.flatMap((piece) => {
      const count = piece.count * rankIn(settings.rank)(piece);
      return Array<number>(count).fill(Math.min(piece.rows, piece.columns));
    });
    const holds = (value: number, i: number) => value >= 0 && value < sides[i]!;
    return { kind: 'indices of basis vectors', holds };
  }

  protected override begin(
    { members, gradient, state, update }: UnitInput<Plan>,
    _step: number,
  ): UnitStep {
    const { settings, view } = members[0]!.plan;
    const count = members.length;
    const { rank } = settings;
    const indices = unpackPieces(state.indices!, count, view, rankIn(rank));
    const firstMoments = unpackPieces(state.firstMoment!, count, view, lowSize(rank));
    const secondMoments = unpackPieces(state.secondMoment!, count, view, lowSize(rank));
    const kernels = [count, ...members[0]!.shape];
    const errors = settings.errorFeedback ? readErrors(state, kernels, view, settings) : [];
    const steps = toMatrices(reshape(gradient, kernels), view).map((G, i) => {
      const [b, m, n] = G.shape;
      const r = rankOf('DctAdamW', rank, m, n);
      const low = [b, ...lowShape(m, n, r)];
      const former = {
        indices: indices[i]!,
        firstMoment: reshape(firstMoments[i]!, low),
        secondMoment: reshape(secondMoments[i]!, low),
        ...(errors[i] && { error: errors[i] }),
      };
      const table = this.tables.get(settings.basis, Math.min(m, n));
      return lowRankAdam(G, former, table, { ...settings, rank: r, step: update });
    });
    const gather = (pick: (piece: (typeof steps)[number]) => Tensor) =>
      packPieces(steps.map(pick), count, view);
    return {
      pieces: steps.map(({ direction }) => ({ matrices: direction as Tensor3D })),
      state: () => ({
        indices: gather((piece) => piece.indices),
        firstMoment: gather((piece) => piece.firstMoment),
        secondMoment: gather((piece) => piece.secondMoment),
        ...(settings.errorFeedback &&
          writeErrors(
            steps.map(({ error }) => error as Tensor3D),
            count,
            view,
            settings.errorBits,
          )),
      }),
    };
  }

  /** AdamW's update has its size by itself. */
  protected override scale(): number {
    return 1;
  }
}

/** Error buffers of each piece, `[b, m, n]`. */
function readErrors(
  state: Readonly<Record<string, Tensor>>,
  kernels: number[],
  view: MatrixView,
  { errorBits }: DctAdamWSettings,
): Tensor[] {
  if (errorBits === 0) return toMatrices(reshape(state.error!, kernels), view);
  const count = kernels[0]!;
  const codes = unpackPieces(state.errorCodes!, count, view, words(errorBits));
  const range = unpackPieces(state.errorRange!, count, view, ends);
  return view.pieces.map(({ rows, columns }, i) => {
    const b = codes[i]!.shape[0]!;
    const parts = { codes: codes[i]!, range: reshape(range[i]!, [b, rows, 2]) };
    return dequantizeRows(parts, [b, rows, columns], errorBits);
  });
}

function writeErrors(
  errors: readonly Tensor3D[],
  count: number,
  view: MatrixView,
  errorBits: 0 | CodeBits,
): Record<string, Tensor> {
  if (errorBits === 0) {
    const error = fromMatrices(errors, view, count);
    return { error: reshape(error, [error.size]) };
  }
  const parts = errors.map((error) => quantizeRows(error, errorBits));
  return {
    errorCodes: packPieces(
      parts.map(({ codes }) => codes),
      count,
      view,
    ),
    errorRange: packPieces(
      parts.map(({ range }) => range),
      count,
      view,
    ),
  };
}
