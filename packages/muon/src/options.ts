/** Options of the optimizers, how they are checked, and how they travel through JSON. */
import { checkBoolean, checkNumber, checkOneOf, checkOptions } from '@orth/backend';
import { checkOrthogonalizeOptions, type OrthogonalizeOptions } from '@orth/newton-schulz';
import { ADAM_W_DEFAULTS } from './adamWUpdate.js';
import { WEIGHT_DECAY_MODES, type WeightDecayMode } from './descend.js';
import {
  LEARNING_RATE_ADJUSTMENTS,
  type LearningRateAdjustment,
  type LearningRateScale,
} from './learningRateScale.js';
import type { Layout } from './matrixView.js';
import { MUON_DEFAULTS } from './muonUpdate.js';
import type { Schedule } from './schedules.js';

/** What a group's predicate is told about a variable. */
export interface VariableInfo {
  readonly name: string;
  readonly shape: readonly number[];
}

/** Hyperparameters of AdamW. */
export interface AdamWHyperparameters {
  /** Learning rate, >= 0, or its schedule. Default 3e-4 */
  readonly learningRate?: Schedule;
  /** Decay of the first moment, in [0, 1). Default 0.9 */
  readonly beta1?: number;
  /** Decay of the second moment, in [0, 1). Default 0.95 */
  readonly beta2?: number;
  /** Added to the root of the second moment, > 0. Default 1e-10 */
  readonly epsilon?: number;
  /** Weight decay per unit of learning rate, >= 0, or its schedule. Default 0 */
  readonly weightDecay?: Schedule;
  /** Default `'decoupled'` */
  readonly weightDecayMode?: WeightDecayMode;
}

/** Hyperparameters of Muon. */
export interface MuonHyperparameters {
  /** Learning rate, >= 0, or its schedule. Default 0.02 */
  readonly learningRate?: Schedule;
  /** Decay of the momentum, in [0, 1), or its schedule. Default 0.95 */
  readonly momentum?: Schedule;
  /** Whether the update looks ahead. Default true */
  readonly nesterov?: boolean;
  /** Weight decay per unit of learning rate, >= 0, or its schedule. Default 0 */
  readonly weightDecay?: Schedule;
  /** Default `'decoupled'` */
  readonly weightDecayMode?: WeightDecayMode;
  /** Factor on the learning rate from a matrix's shape. Default `'original'`; coming from AdamW, `'matchRmsAdamW'` */
  readonly adjustLearningRate?: LearningRateAdjustment | LearningRateScale;
  /** Options of `orthogonalize`. Default: the author's quintic, 5 steps */
  readonly orthogonalization?: OrthogonalizeOptions;
  /** Where kernels keep their outputs: last (`'inOut'`, tfjs, the default) or first (`'outIn'`) */
  readonly layout?: Layout;
  /** Kernels of rank > 2: one flattened matrix (default), or one matrix for each spatial position. */
  readonly convMode?: 'flatten' | 'batched';
}

/** How one kernel holds several matrices; only in a group. */
export interface MatrixOptions {
  /** Axes that count separate matrices, such as stacked experts. */
  readonly batchAxes?: readonly number[];
  /**
   * Sizes of blocks that are orthogonalised apart, such as the three of a fused QKV; they sum to the axis' size. Not
   * together with `heads`.
   */
  readonly split?: readonly number[];
  /** Equal blocks orthogonalised apart, one a head (three a head in a fused QKV); divides the axis' size. */
  readonly heads?: number;
  /** The axis that `split` and `heads` cut. Default `'output'` */
  readonly splitAxis?: 'output' | 'input';
}

/** Which variables a group takes, by name or by predicate; the first group that matches wins. */
export interface GroupMatch {
  readonly match: RegExp | ((variable: VariableInfo) => boolean);
}

/** Variables for Muon, with what differs from the optimizer's own options. */
export interface MuonGroup extends GroupMatch, MuonHyperparameters, MatrixOptions {
  readonly optimizer: 'muon';
}

/** Variables for AdamW, with what differs from the `adamW` option. */
export interface AdamWGroup extends GroupMatch, AdamWHyperparameters {
  readonly optimizer: 'adamW';
}

/** Variables that stay as they are. */
export interface FrozenGroup extends GroupMatch {
  readonly optimizer: 'frozen';
}

/** Options of a group. */
export type ParameterGroup = MuonGroup | AdamWGroup | FrozenGroup;

/** Options that concern a whole step. */
export interface StepOptions {
  /**
   * A known variable without a gradient: `'skip'` leaves it alone (PyTorch), `'zero'` lets momentum and decay go on (the
   * Muon author's repository). Default `'skip'`
   */
  readonly missingGradient?: 'skip' | 'zero';
  /**
   * A gradient with NaN or an infinity: `'throw'` a NonFiniteError, or `'skip'` the step. Either way nothing at all is
   * changed, and `nonFiniteSteps` counts it. Default `'throw'`
   */
  readonly onNonFinite?: 'throw' | 'skip';
  /** Greatest norm of all gradients together, > 0; longer ones are scaled down before the momentum. Default: no limit */
  readonly clipNorm?: number;
}

/** Options of the `AdamW` optimizer. */
export interface AdamWOptions extends AdamWHyperparameters, StepOptions {
  /** Variables with options of their own, or frozen. */
  readonly groups?: readonly (AdamWGroup | FrozenGroup)[];
}

/** Options of the `Muon` optimizer. */
export interface MuonOptions extends MuonHyperparameters, StepOptions {
  /** Variables with options of their own; the first match wins, and the default rule routes the rest. */
  readonly groups?: readonly ParameterGroup[];
  /** Hyperparameters for everything that is not a hidden matrix. */
  readonly adamW?: AdamWHyperparameters;
}

/** {@link AdamWHyperparameters} with every default filled in. */
export type AdamWSettings = Required<AdamWHyperparameters>;

/** {@link MuonHyperparameters} and a group's {@link MatrixOptions}, defaults filled in. */
export type MuonSettings = Required<MuonHyperparameters> & MatrixOptions;

export const STEP_OPTIONS = ['missingGradient', 'onNonFinite', 'clipNorm'] as const;
export const ADAM_W_OPTIONS = Object.keys(ADAM_W_DEFAULTS);
export const MUON_OPTIONS = [...Object.keys(MUON_DEFAULTS), 'convMode'];
export const MATRIX_OPTIONS = ['batchAxes', 'split', 'heads', 'splitAxis'];

/** A schedule is a function or a number within bounds; what a function returns is checked at each step. */
function checkSchedule(
  caller: string,
  argument: string,
  value: unknown,
  range: { min?: number; below?: number },
): void {
  if (typeof value !== 'function') checkNumber(caller, argument, value, range);
}

/** Names of those keys of `options` that are in `known`, with their values. */
export function pick(options: object, known: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(options).filter(([key, value]) => known.includes(key) && value !== undefined),
  );
}

/** Fills in AdamW's defaults and checks every value. */
export function resolveAdamW(
  caller: string,
  options: object,
  defaults: AdamWSettings = ADAM_W_DEFAULTS,
): AdamWSettings {
  const all = { ...defaults, ...pick(options, ADAM_W_OPTIONS) };
  checkSchedule(caller, 'learningRate', all.learningRate, { min: 0 });
  checkNumber(caller, 'beta1', all.beta1, { min: 0, below: 1 });
  checkNumber(caller, 'beta2', all.beta2, { min: 0, below: 1 });
  checkNumber(caller, 'epsilon', all.epsilon, { above: 0 });
  checkSchedule(caller, 'weightDecay', all.weightDecay, { min: 0 });
  checkOneOf(caller, 'weightDecayMode', all.weightDecayMode, WEIGHT_DECAY_MODES);
  return all;
}

/** Fills in Muon's defaults and checks every value. */
export function resolveMuon(
  caller: string,
  options: object,
  defaults: MuonSettings = { ...MUON_DEFAULTS, convMode: 'flatten' },
): MuonSettings {
  const all = { ...defaults, ...pick(options, [...MUON_OPTIONS, ...MATRIX_OPTIONS]) };
  checkSchedule(caller, 'learningRate', all.learningRate, { min: 0 });
  checkSchedule(caller, 'momentum', all.momentum, { min: 0, below: 1 });
  checkBoolean(caller, 'nesterov', all.nesterov);
  checkSchedule(caller, 'weightDecay', all.weightDecay, { min: 0 });
  checkOneOf(caller, 'weightDecayMode', all.weightDecayMode, WEIGHT_DECAY_MODES);
  if (typeof all.adjustLearningRate !== 'function') {
    checkOneOf(caller, 'adjustLearningRate', all.adjustLearningRate, LEARNING_RATE_ADJUSTMENTS);
  }
  checkOrthogonalizeOptions(`${caller}: orthogonalization`, all.orthogonalization);
  checkOneOf(caller, 'layout', all.layout, ['inOut', 'outIn']);
  checkOneOf(caller, 'convMode', all.convMode, ['flatten', 'batched']);
  for (const axes of ['batchAxes', 'split'] as const) {
    if (all[axes] !== undefined && !Array.isArray(all[axes])) {
      throw new TypeError(`${caller}: ${axes} must be an array, got ${String(all[axes])}`);
    }
  }
  if (all.splitAxis !== undefined) {
    checkOneOf(caller, 'splitAxis', all.splitAxis, ['output', 'input']);
  }
  return all;
}

/** Checks the options of a whole step. */
export function resolveStepOptions(
  caller: string,
  options: StepOptions,
): Required<Omit<StepOptions, 'clipNorm'>> & Pick<StepOptions, 'clipNorm'> {
  const { missingGradient = 'skip', onNonFinite = 'throw', clipNorm } = options;
  checkOneOf(caller, 'missingGradient', missingGradient, ['skip', 'zero']);
  checkOneOf(caller, 'onNonFinite', onNonFinite, ['throw', 'skip']);
  if (clipNorm !== undefined) checkNumber(caller, 'clipNorm', clipNorm, { above: 0 });
  return { missingGradient, onNonFinite, ...(clipNorm !== undefined && { clipNorm }) };
}

/** Demands a well-formed list of groups; `optimizers` says which each may name and what options it takes. */
export function checkGroups(
  caller: string,
  groups: unknown,
  optimizers: Readonly<Record<string, readonly string[]>>,
): void {
  if (!Array.isArray(groups)) {
    throw new TypeError(`${caller}: groups must be an array, got ${typeof groups}`);
  }
  for (const [i, group] of groups.entries()) {
    const where = `${caller}: groups[${i}]`;
    if (typeof group !== 'object' || group === null) {
      throw new TypeError(`${where} must be an object, got ${String(group)}`);
    }
    const { match, optimizer } = group as Partial<ParameterGroup>;
    if (typeof match !== 'function' && !(match instanceof RegExp)) {
      throw new TypeError(`${where}.match must be a RegExp or a function, got ${typeof match}`);
    }
    checkOneOf(caller, `groups[${i}].optimizer`, optimizer, Object.keys(optimizers));
    checkOptions(where, group, ['match', 'optimizer', ...optimizers[optimizer as string]!]);
    const { split, heads } = group as MatrixOptions;
    if (split !== undefined && heads !== undefined) {
      const rule = 'split and heads must not both be given';
      throw new TypeError(`${where}: ${rule}; for a fused QKV heads is 3 times the heads`);
    }
  }
}
