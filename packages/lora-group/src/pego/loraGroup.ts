import { CheckpointError, checkOptions, checkTensor } from '@orth/backend';
import { type Tensor, Variable } from '@tensorflow/tfjs-core';
import { adapt } from '../adapters/adapt.js';
import type { AdaptedVariables, ApplyOptions } from '../adapters/adaptedVariables.js';
import type { AdapterFiles } from '../files/adapterFile.js';
import type { LoraInit } from '../lora/initializers.js';

/** Options of {@link loraGroup}. */
export interface LoraGroupOptions {
  /** Rank of each update. Default 4 */
  readonly r?: number;
  /** Updates in the group. Default 4 */
  readonly n?: number;
  /** Scale `alpha / r`. Default: `r`, as the authors' code has no scale */
  readonly alpha?: number;
  /** Scale by `alpha / √r`. Default false */
  readonly useRslora?: boolean;
  /** Share of inputs that training drops on their way to the group, in [0, 1). Default 0 */
  readonly dropout?: number;
  /** How factors start. Default `'kaiming'` */
  readonly init?: LoraInit;
  /** Seed of initial values and dropout. Default 0 */
  readonly seed?: number;
}

const NAME = 'group';
const PATH = 'weight';

/** A group as plain data, fit for JSON. */
export interface LoraGroupState {
  readonly config: AdapterFiles['config'];
  /** The safetensors file, in base64. */
  readonly weights: string;
}

/** A group of low-rank updates on one weight; make it by {@link loraGroup}. */
export class LoraGroup {
  /** Use {@link loraGroup}. */
  constructor(
    /** The same as adapters of one variable called `weight`, for everything else that these can do. */
    readonly adapters: AdaptedVariables,
  ) {}

  /** `x W + b + s Σ (x A_i) B_i`, shape `[…, out]` for `x` of shape `[…, in]`. */
  apply(x: Tensor, options: ApplyOptions = {}): Tensor {
    return this.adapters.apply(PATH, x, options);
  }

  /** `s Σ A_i B_i`, the weight's shape. */
  delta(): Tensor {
    return this.adapters.delta(PATH);
  }

  /** Writes the group into the weight; inference then costs nothing more. */
  merge(): void {
    this.adapters.merge();
  }

  /** Brings the weight back, bit for bit. */
  unmerge(): void {
    this.adapters.unmerge();
  }

  /** Whether the group is written into the weight. */
  get merged(): boolean {
    return this.adapters.merged;
  }

  /** The factors, `A [in, n r]` and `B [n r, out]`. */
  get trainable(): readonly Variable[] {
    return this.adapters.trainableVariables;
  }

  /** The group as plain data; the weight is not in it. */
  async toJSON(): Promise<LoraGroupState> {
    const { config, weights } = await this.adapters.saveAdapter(NAME);
    let text = '';
    for (const byte of weights) text += String.fromCharCode(byte);
    return { config, weights: btoa(text) };
  }

  /** Takes the group off the weight and frees it. */
  dispose(): void {
    this.adapters.dispose();
  }
}

async function adaptWeight(W: Variable, caller: string): Promise<AdaptedVariables> {
  checkTensor(caller, 'W', W);
  if (!(W instanceof Variable) || W.rank < 2) {
    throw new TypeError(`${caller}: W must be a variable of rank >= 2, got shape [${W.shape}]`);
  }
  return adapt({ [PATH]: W }, { name: null });
}

/**
 * A group of `n` low-rank updates on one weight, for models written as functions.
 *
 * @param W - the pretrained weight, `[in, out]`, or a kernel of higher rank (for `delta` and `merge` alone)
 * @throws (rejects with) TypeError or RangeError for a wrong argument; `W` is unchanged then
 * @example
 * const group = await loraGroup(W, { r: 4, n: 4 });
 * const y = group.apply(x);
 */
export async function loraGroup(W: Variable, options: LoraGroupOptions = {}): Promise<LoraGroup> {
  const known = ['r', 'n', 'alpha', 'useRslora', 'dropout', 'init', 'seed'];
  checkOptions('loraGroup', options, known);
  const set = await adaptWeight(W, 'loraGroup');
  try {
    await set.addAdapter(NAME, { r: 4, n: 4, ...options, targetModules: PATH });
    return new LoraGroup(set);
  } catch (error) {
    set.dispose();
    throw error;
  }
}

/**
 * A group from the data of {@link LoraGroup.toJSON}, on a weight of the same shape.
 * @throws (rejects with) CheckpointError if the data is damaged or of another shape; `W` is unchanged then
 */
export async function restoreLoraGroup(W: Variable, state: LoraGroupState): Promise<LoraGroup> {
  const set = await adaptWeight(W, 'restoreLoraGroup');
  try {
    let text: string;
    try {
      text = atob(state.weights);
    } catch {
      throw new CheckpointError('restoreLoraGroup: state must be one of toJSON');
    }
    const weights = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
    await set.loadAdapter({ config: state.config, weights }, { name: NAME });
    return new LoraGroup(set);
  } catch (error) {
    set.dispose();
    throw error;
  }
}
