import { type OrthogonalizeOptions, orthogonalize } from '@orth/newton-schulz';
import { concat, mul, reshape, split, type Tensor, type Tensor3D } from '@tensorflow/tfjs-core';
import { descend } from './descend.js';
import { learningRateScale } from './learningRateScale.js';
import { fromMatrices, type MatrixView, toMatrices } from './matrixView.js';
import { momentumStep } from './muonUpdate.js';
import type { MuonSettings, VariableInfo } from './options.js';
import { stepValue } from './stepValue.js';
import type { SlotShapes, UnitInput, UnitOutput, UpdateMethod } from './targets.js';

/** What Muon knows of a variable. */
export interface MuonPlan {
  readonly settings: MuonSettings;
  readonly view: MatrixView;
}

/** Muon over units of equally shaped kernels. */
export class MuonMethod implements UpdateMethod<MuonPlan> {
  readonly name: string = 'muon';
  readonly countsUpdates: boolean = false;
  private readonly keys = new Map<MuonSettings, string>();

  slots({ shape }: VariableInfo, _plan: MuonPlan): SlotShapes {
    return { momentum: shape };
  }

  unitKey({ shape }: VariableInfo, { settings }: MuonPlan): string {
    const group = this.keys.get(settings) ?? `group ${this.keys.size}`;
    this.keys.set(settings, group);
    return `${group} [${shape}]`;
  }

  update(units: readonly UnitInput<MuonPlan>[], step: number): UnitOutput[] {
    const steps = units.map(({ members, gradient, state }) => {
      const { settings, view } = members[0]!.plan;
      const mu = stepValue('momentum', settings.momentum, step, { min: 0, below: 1 });
      const next = momentumStep(state.momentum!, gradient, mu, settings.nesterov);
      const kernels = reshape(next.lookahead, [members.length, ...members[0]!.shape]);
      const { orthogonalization } = settings;
      return { momentum: next.momentum, matrices: toMatrices(kernels, view), orthogonalization };
    });
    const directions = orthogonalizeTogether(steps);
    return units.map(({ members, weights }, i) => {
      const { settings, view } = members[0]!.plan;
      const learningRate = stepValue('learningRate', settings.learningRate, step);
      const weightDecay = stepValue('weightDecay', settings.weightDecay, step);
      const scaled = directions[i]!.map((direction, piece) => {
        const { outSize, inSize } = view.pieces[piece]!;
        const scale = learningRateScale(settings.adjustLearningRate, outSize, inSize);
        return mul(direction, learningRate * scale) as Tensor3D;
      });
      const update = reshape(fromMatrices(scaled, view, members.length), weights.shape);
      const shrink = learningRate * weightDecay;
      return {
        weights: descend(weights, update, shrink, settings.weightDecayMode),
        state: { momentum: steps[i]!.momentum },
      };
    });
  }
}

/** Batches of matrices that are to be orthogonalised in the same way. */
export interface MatrixBatches {
  readonly matrices: readonly Tensor3D[];
  readonly orthogonalization: OrthogonalizeOptions;
}

/**
 * Orthogonalises several lists of batches; all matrices of one shape and with the same options go through one call,
 * whatever variables and blocks they come from.
 * @returns batches in the order and with the shapes given
 */
export function orthogonalizeTogether(lists: readonly MatrixBatches[]): Tensor3D[][] {
  const results: Tensor3D[][] = lists.map(() => []);
  const groups = new Map<string, { list: number; piece: number; batch: Tensor3D }[]>();
  lists.forEach(({ matrices, orthogonalization }, list) => {
    const options = JSON.stringify(orthogonalization);
    matrices.forEach((batch, piece) => {
      const key = `${batch.shape.slice(1)} ${options}`;
      const group = groups.get(key) ?? [];
      groups.set(key, group);
      group.push({ list, piece, batch });
    });
  });
  for (const group of groups.values()) {
    const options = lists[group[0]!.list]!.orthogonalization;
    const batches = group.map(({ batch }) => batch);
    const together = batches.length === 1 ? batches[0]! : concat(batches, 0);
    const done = orthogonalize(together, options);
    const sizes = batches.map((batch) => batch.shape[0]);
    const parts: Tensor[] = sizes.length === 1 ? [done] : split(done, sizes, 0);
    group.forEach(({ list, piece }, i) => {
      results[list]![piece] = parts[i] as Tensor3D;
    });
  }
  return results;
}
