import { reshape } from '@tensorflow/tfjs-core';
import { MatrixMethod, type MatrixPlan, type UnitStep } from './matrixMethod.js';
import { type MatrixPiece, toMatrices } from './matrixView.js';
import { momentumStep } from './muonUpdate.js';
import { countsRows, type NormuonNormalizeOptions, normalizeStep } from './normuonNormalize.js';
import type { MuonSettings, VariableInfo } from './options.js';
import { packPieces, pieceStateSize, unpackPieces } from './pieceState.js';
import { stepValue } from './stepValue.js';
import { NOT_NEGATIVE, type SlotRule, type SlotShapes, type UnitInput } from './targets.js';

/** Muon's settings and those of the normalisation. */
export type NorMuonSettings = MuonSettings & Required<NormuonNormalizeOptions>;

/** NorMuon: Muon, then one second moment a neuron. */
export class NorMuonMethod extends MatrixMethod<NorMuonSettings> {
  readonly name = 'norMuon';

  override slots(
    { shape }: VariableInfo,
    { settings, view }: MatrixPlan<NorMuonSettings>,
  ): SlotShapes {
    return { momentum: shape, neuronMoment: [pieceStateSize(view, lengthOf(settings))] };
  }

  slotRule(slot: string): SlotRule | undefined {
    return slot === 'neuronMoment' ? NOT_NEGATIVE : undefined;
  }

  protected override begin(
    { members, gradient, state }: UnitInput<MatrixPlan<NorMuonSettings>>,
    step: number,
  ): UnitStep {
    const { settings, view } = members[0]!.plan;
    const count = members.length;
    const mu = stepValue('momentum', settings.momentum, step, { min: 0, below: 1 });
    const next = momentumStep(state.momentum!, gradient, mu, settings.nesterov);
    const kernels = reshape(next.lookahead, [count, ...members[0]!.shape]);
    const moments = unpackPieces(state.neuronMoment!, count, view, lengthOf(settings));
    const pieces = toMatrices(kernels, view).map((matrices, i) => ({
      matrices,
      orthogonalization: settings.orthogonalization,
      finish: (o: typeof matrices) => {
        const { update, secondMoment } = normalizeStep(o, moments[i]!, settings);
        moments[i] = secondMoment;
        return update;
      },
    }));
    return {
      pieces,
      state: () => ({ momentum: next.momentum, neuronMoment: packPieces(moments, count, view) }),
    };
  }

  /** The paper's scaling fixes the size of the update itself. */
  protected override scale(settings: NorMuonSettings, outSize: number, inSize: number): number {
    return settings.scaling === 'paper' ? 1 : super.scale(settings, outSize, inSize);
  }
}

const lengthOf =
  ({ axis, layout }: NorMuonSettings) =>
  ({ rows, columns }: MatrixPiece) =>
    countsRows(rows, columns, axis, layout) ? rows : columns;
