import { reshape } from '@tensorflow/tfjs-core';
import { MatrixMethod, type MatrixPlan, type UnitStep } from './matrixMethod.js';
import { toMatrices } from './matrixView.js';
import { momentumStep } from './muonUpdate.js';
import type { MuonSettings, VariableInfo } from './options.js';
import { stepValue } from './stepValue.js';
import type { SlotShapes, UnitInput } from './targets.js';

/** Muon: momentum, orthogonalised. */
export class MuonMethod extends MatrixMethod<MuonSettings> {
  readonly name = 'muon';

  override slots({ shape }: VariableInfo): SlotShapes {
    return { momentum: shape };
  }

  protected override begin(
    { members, gradient, state }: UnitInput<MatrixPlan>,
    step: number,
  ): UnitStep {
    const { settings, view } = members[0]!.plan;
    const mu = stepValue('momentum', settings.momentum, step, { min: 0, below: 1 });
    const { momentum, lookahead } = momentumStep(state.momentum!, gradient, mu, settings.nesterov);
    const kernels = reshape(lookahead, [members.length, ...members[0]!.shape]);
    const { orthogonalization } = settings;
    const pieces = toMatrices(kernels, view).map((matrices) => ({ matrices, orthogonalization }));
    return { pieces, state: () => ({ momentum }) };
  }
}
