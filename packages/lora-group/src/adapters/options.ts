import { checkBoolean, checkInteger, checkNumber, checkOneOf, checkOptions } from '@orth/backend';
import { LORA_INITS, type LoraInit } from '../lora/initializers.js';
import { checkSelector, type ModuleSelector } from './matchTargets.js';

/** The form of an adapter's update. */
export type AdapterMethod = 'lora' | 'gralora' | 'oft';

/** Which biases of the model an adapter trains and keeps beside its factors. */
export type BiasMode = 'none' | 'all' | 'loraOnly';

/** Options of an adapter. Names follow PEFT where it has them. */
export interface AdapterOptions {
  /** `'lora'` (default), with `n` > 1 a group of them; `'gralora'`; `'oft'`, rotations of the inputs. */
  readonly method?: AdapterMethod;
  /** Rank of one low-rank update, at most each target's smaller side. Default 8 */
  readonly r?: number;
  /** Low-rank updates on each weight, a group. Default 1 */
  readonly n?: number;
  /** Scale of the update: `alpha / r`, > 0. Default: `r` */
  readonly alpha?: number;
  /** Scale by `alpha / √r`. Default false */
  readonly useRslora?: boolean;
  /** Share of a target's inputs that training drops on their way to the adapter, in [0, 1). Default 0 */
  readonly dropout?: number;
  /** DoRA: train the length of each output column apart. Default false */
  readonly useDora?: boolean;
  /** How the factors start. Default `'kaiming'` */
  readonly init?: LoraInit;
  /** GraLoRA: blocks to a side, which divide both sides of each target, and `r`. Default 2 */
  readonly k?: number;
  /** OFT: size of a rotation, which divides each target's inputs. Default 32 */
  readonly blockSize?: number;
  /** OFT: PEFT's cut-off series with so many terms in place of the Cayley transform. Default: the transform */
  readonly neumannTerms?: number;
  /** Seed of initial values and dropout. Default 0 */
  readonly seed?: number;
  /** Weights to adapt. Default `'allLinear'`: every dense layer, or every variable of rank 2 */
  readonly targetModules?: ModuleSelector;
  /** Weights to leave out of them. Default: none */
  readonly excludeModules?: ModuleSelector;
  /** Only targets whose path has one of these as its first number, as `3` in `encoder.block3.query`. Default: all */
  readonly layersToTransform?: number | readonly number[];
  /** Other ranks for some targets, by path or its ending. */
  readonly rankPattern?: Readonly<Record<string, number>>;
  /** Other alphas for some targets, by path or its ending. */
  readonly alphaPattern?: Readonly<Record<string, number>>;
  /** Layers (or variables) trained whole beside the adapter, kept and saved with it: a new head. Default: none */
  readonly modulesToSave?: ModuleSelector;
  /** Biases trained beside it: `'none'` (default), `'all'`, or `'loraOnly'`, those of its targets. */
  readonly bias?: BiasMode;
}

/** Names of {@link AdapterOptions}. */
export const ADAPTER_OPTIONS: readonly (keyof AdapterOptions)[] = [
  'method',
  'r',
  'n',
  'alpha',
  'useRslora',
  'dropout',
  'useDora',
  'init',
  'k',
  'blockSize',
  'neumannTerms',
  'seed',
  'targetModules',
  'excludeModules',
  'layersToTransform',
  'rankPattern',
  'alphaPattern',
  'modulesToSave',
  'bias',
];

/** Options with defaults; `alpha` stays open, since its default is each target's rank. */
export interface ResolvedOptions {
  readonly method: AdapterMethod;
  readonly r: number;
  readonly n: number;
  readonly alpha: number | undefined;
  readonly useRslora: boolean;
  readonly dropout: number;
  readonly useDora: boolean;
  readonly init: LoraInit;
  readonly k: number;
  readonly blockSize: number;
  readonly neumannTerms: number | undefined;
  readonly seed: number;
  readonly targetModules: ModuleSelector;
  readonly excludeModules: ModuleSelector | undefined;
  readonly layersToTransform: readonly number[] | undefined;
  readonly rankPattern: Readonly<Record<string, number>>;
  readonly alphaPattern: Readonly<Record<string, number>>;
  readonly modulesToSave: ModuleSelector | undefined;
  readonly bias: BiasMode;
}

/** Which options only one method has. */
const ONLY: Readonly<Record<AdapterMethod, readonly (keyof AdapterOptions)[]>> = {
  lora: ['n', 'useRslora', 'useDora', 'init', 'rankPattern', 'alphaPattern'],
  gralora: ['k'],
  oft: ['blockSize', 'neumannTerms'],
};

/**
 * Checks options and fills in defaults.
 * @throws TypeError or RangeError naming the option
 */
export function resolveOptions(caller: string, options: AdapterOptions): ResolvedOptions {
  checkOptions(caller, options, ADAPTER_OPTIONS);
  const { method = 'lora', targetModules = 'allLinear', layersToTransform: layers } = options;
  checkOneOf(caller, 'method', method, ['lora', 'gralora', 'oft']);
  for (const [other, names] of Object.entries(ONLY)) {
    const stray = names.find((name) => other !== method && options[name] !== undefined);
    if (stray) {
      throw new TypeError(
        `${caller}: ${stray} must be left out with method ${method}, got a value`,
      );
    }
  }
  const {
    r = 8,
    n = 1,
    alpha,
    dropout = 0,
    k = 2,
    blockSize = 32,
    neumannTerms,
    seed = 0,
  } = options;
  const { useRslora = false, useDora = false, init = 'kaiming', bias = 'none' } = options;
  const { rankPattern = {}, alphaPattern = {}, excludeModules, modulesToSave } = options;
  checkInteger(caller, 'r', r, { min: 1 });
  checkInteger(caller, 'n', n, { min: 1 });
  if (alpha !== undefined) checkNumber(caller, 'alpha', alpha, { above: 0 });
  checkBoolean(caller, 'useRslora', useRslora);
  checkBoolean(caller, 'useDora', useDora);
  checkNumber(caller, 'dropout', dropout, { min: 0, below: 1 });
  checkOneOf(caller, 'init', init, LORA_INITS);
  checkOneOf(caller, 'bias', bias, ['none', 'all', 'loraOnly']);
  checkInteger(caller, 'k', k, { min: 1 });
  checkInteger(caller, 'blockSize', blockSize, { min: 1 });
  if (neumannTerms !== undefined) checkInteger(caller, 'neumannTerms', neumannTerms, { min: 1 });
  checkInteger(caller, 'seed', seed);
  checkSelector(caller, 'targetModules', targetModules);
  if (excludeModules !== undefined) checkSelector(caller, 'excludeModules', excludeModules);
  if (modulesToSave !== undefined) checkSelector(caller, 'modulesToSave', modulesToSave);
  checkPattern(caller, 'rankPattern', rankPattern, (x) =>
    checkInteger(caller, 'rankPattern', x, { min: 1 }),
  );
  checkPattern(caller, 'alphaPattern', alphaPattern, (x) =>
    checkNumber(caller, 'alphaPattern', x, { above: 0 }),
  );
  const layersToTransform = typeof layers === 'number' ? [layers] : layers;
  for (const layer of layersToTransform ?? []) {
    checkInteger(caller, 'layersToTransform', layer, { min: 0 });
  }
  if (method === 'oft' && (dropout > 0 || alpha !== undefined || options.r !== undefined)) {
    throw new TypeError(
      `${caller}: r, alpha and dropout must be left out with method oft, got a value`,
    );
  }
  if (method === 'gralora' && r % k !== 0) {
    throw new RangeError(`${caller}: r must be divisible by k = ${k}, got ${r}`);
  }
  if (init === 'orthogonal' && [r, ...Object.values(rankPattern)].some((rank) => rank % 2 !== 0)) {
    throw new RangeError(`${caller}: r must be even with init 'orthogonal', got an odd one`);
  }
  return {
    method,
    r,
    n,
    alpha,
    useRslora,
    dropout,
    useDora,
    init,
    k,
    blockSize,
    neumannTerms,
    seed,
    targetModules,
    excludeModules,
    layersToTransform,
    rankPattern,
    alphaPattern,
    modulesToSave,
    bias,
  };
}

function checkPattern(
  caller: string,
  argument: string,
  record: unknown,
  check: (value: unknown) => void,
): void {
  if (typeof record !== 'object' || record === null || Array.isArray(record)) {
    throw new TypeError(`${caller}: ${argument} must be an object, got ${String(record)}`);
  }
  for (const value of Object.values(record)) check(value);
}
