import type { OrthogonalizeOptions } from '@orth/newton-schulz';
import { mul, reshape, type Tensor, type Tensor3D } from '@tensorflow/tfjs-core';
import { descend } from './descend.js';
import { learningRateScale } from './learningRateScale.js';
import { fromMatrices, type MatrixView } from './matrixView.js';
import type { MuonSettings, VariableInfo } from './options.js';
import { orthogonalizeTogether } from './orthogonalizeTogether.js';
import { stepValue } from './stepValue.js';
import type { SlotShapes, UnitInput, UnitOutput, UpdateMethod } from './targets.js';

/** What a method knows of a variable: the options that hold for it, and its matrices. */
export interface MatrixPlan<Settings extends MuonSettings = MuonSettings> {
  readonly settings: Settings;
  readonly view: MatrixView;
}

/** What becomes of one batch of equal matrices. */
export interface PieceStep {
  /** What is orthogonalised, or taken as it is if `orthogonalization` is absent. */
  readonly matrices: Tensor3D;
  readonly orthogonalization?: OrthogonalizeOptions;
  /** From there to the direction, of the piece's shape. Default: nothing more */
  readonly finish?: (matrices: Tensor3D) => Tensor;
}

/** One step of a unit, up to the direction. */
export interface UnitStep {
  /** One for each of the view's pieces. */
  readonly pieces: readonly PieceStep[];
  /** The new state, flat; asked for after every piece has finished. */
  readonly state: () => Readonly<Record<string, Tensor>>;
}

/**
 * The frame of the methods that update matrices: gather them from kernels, orthogonalise all of a shape together,
 * scale, and descend. A subclass says what happens before and after the orthogonalisation.
 */
export abstract class MatrixMethod<Settings extends MuonSettings>
  implements UpdateMethod<MatrixPlan<Settings>>
{
  abstract readonly name: string;
  readonly countsUpdates: boolean = false;
  private readonly keys = new Map<Settings, string>();

  abstract slots(variable: VariableInfo, plan: MatrixPlan<Settings>): SlotShapes;

  /** The first half of a step; changes nothing. */
  protected abstract begin(unit: UnitInput<MatrixPlan<Settings>>, step: number): UnitStep;

  /** Factor on the learning rate for a piece. */
  protected scale(settings: Settings, outSize: number, inSize: number): number {
    return learningRateScale(settings.adjustLearningRate, outSize, inSize);
  }

  unitKey({ shape }: VariableInfo, { settings }: MatrixPlan<Settings>): string {
    const group = this.keys.get(settings) ?? `group ${this.keys.size}`;
    this.keys.set(settings, group);
    return `${group} [${shape}]`;
  }

  update(units: readonly UnitInput<MatrixPlan<Settings>>[], step: number): UnitOutput[] {
    const steps = units.map((unit) => this.begin(unit, step));
    const pieces = steps.flatMap((unit) => unit.pieces);
    const iterated = pieces.flatMap(({ matrices, orthogonalization }) =>
      orthogonalization ? [{ matrices, orthogonalization }] : [],
    );
    const orthogonal = orthogonalizeTogether(iterated);
    const directions = pieces.map(({ matrices, orthogonalization, finish }) => {
      const done = orthogonalization ? orthogonal.shift()! : matrices;
      return (finish ? finish(done) : done) as Tensor3D;
    });
    return units.map(({ members, weights }, i) => {
      const { settings, view } = members[0]!.plan;
      const learningRate = stepValue('learningRate', settings.learningRate, step);
      const weightDecay = stepValue('weightDecay', settings.weightDecay, step);
      const scaled = view.pieces.map(({ outSize, inSize }) =>
        mul(directions.shift()!, learningRate * this.scale(settings, outSize, inSize)),
      ) as Tensor3D[];
      const update = reshape(fromMatrices(scaled, view, members.length), weights.shape);
      const shrink = learningRate * weightDecay;
      return {
        weights: descend(weights, update, shrink, settings.weightDecayMode),
        state: steps[i]!.state(),
      };
    });
  }
}
