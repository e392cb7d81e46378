import { reshape } from '@tensorflow/tfjs-core';
import { type AuonDirectionOptions, rescale } from './auonDirection.js';
import { MatrixMethod, type MatrixPlan, type UnitStep } from './matrixMethod.js';
import { toMatrices } from './matrixView.js';
import { momentumStep } from './muonUpdate.js';
import type { MuonSettings, VariableInfo } from './options.js';
import { stepValue } from './stepValue.js';
import type { SlotShapes, UnitInput } from './targets.js';

/** AuON's settings: Muon's and its own. */
export type AuonSettings = MuonSettings & Required<AuonDirectionOptions>;

/** AuON and Hybrid-AuON: momentum divided by scalars, after a few Newton–Schulz steps or none. */
export class AuonMethod extends MatrixMethod<AuonSettings> {
  constructor(readonly name: 'auON' | 'hybridAuON') {
    super();
  }

  override slots({ shape }: VariableInfo): SlotShapes {
    return { momentum: shape };
  }

  protected override begin(
    { members, gradient, state }: UnitInput<MatrixPlan<AuonSettings>>,
    step: number,
  ): UnitStep {
    const { settings, view } = members[0]!.plan;
    const mu = stepValue('momentum', settings.momentum, step, { min: 0, below: 1 });
    const { momentum, lookahead } = momentumStep(state.momentum!, gradient, mu, settings.nesterov);
    const kernels = reshape(lookahead, [members.length, ...members[0]!.shape]);
    const { hybridSteps, orthogonalization } = settings;
    const pieces = toMatrices(kernels, view).map((matrices) => ({
      matrices,
      ...(hybridSteps > 0 && { orthogonalization: { ...orthogonalization, steps: hybridSteps } }),
      finish: (x: typeof matrices) => rescale(x, settings, [1, 2]),
    }));
    return { pieces, state: () => ({ momentum }) };
  }
}
