/** The `adapter_config.json` of PEFT, written and read. */
import { CheckpointError } from '@orth/backend';
import type { ModuleScale } from '../adapters/adapterModule.js';
import { lookUp } from '../adapters/matchTargets.js';
import type { AdapterMethod, BiasMode, ResolvedOptions } from '../adapters/options.js';
import { LORA_INITS, type LoraInit } from '../lora/initializers.js';

/** What PEFT calls the methods. */
const PEFT_TYPES: Readonly<Record<AdapterMethod, string>> = {
  lora: 'LORA',
  gralora: 'GRALORA',
  oft: 'OFT',
};

const BIAS_NAMES: Readonly<Record<BiasMode, string>> = {
  none: 'none',
  all: 'all',
  loraOnly: 'lora_only',
};

/** A configuration in PEFT's names, fit for JSON. */
export type AdapterConfig = Readonly<Record<string, unknown>>;

/** What a file's header tells beyond PEFT's names: without it a file is read as PEFT would. */
export interface OwnHeader {
  readonly n: number;
  readonly fromInitial: boolean;
  readonly init: LoraInit;
  readonly seed: number;
  /** State of the source of dropout's masks. */
  readonly random?: readonly number[];
}

/** PEFT's configuration of an adapter. */
export function toPeftConfig(
  options: ResolvedOptions,
  scales: ReadonlyMap<string, ModuleScale>,
  modulesToSave: readonly string[],
): AdapterConfig {
  const { method, bias, useRslora, useDora, dropout, k, blockSize, neumannTerms, init } = options;
  const common = {
    peft_type: PEFT_TYPES[method],
    base_model_name_or_path: null,
    task_type: null,
    inference_mode: true,
    target_modules: [...scales.keys()],
    modules_to_save: modulesToSave.length > 0 ? modulesToSave : null,
    bias: BIAS_NAMES[bias],
  };
  if (method === 'oft') {
    return {
      ...common,
      r: 0,
      oft_block_size: blockSize,
      use_cayley_neumann: neumannTerms !== undefined,
      num_cayley_neumann_terms: neumannTerms ?? 5,
    };
  }
  const first: ModuleScale = [...scales.values()][0]!;
  if (method === 'gralora') {
    const { r, alpha } = first;
    return { ...common, r, alpha, gralora_k: k, gralora_dropout: dropout, hybrid_r: 0 };
  }
  const differing = (part: keyof ModuleScale) =>
    Object.fromEntries(
      [...scales].flatMap(([path, s]) => (s[part] === first[part] ? [] : [[path, s[part]]])),
    );
  return {
    ...common,
    r: first.r,
    lora_alpha: first.alpha,
    lora_dropout: dropout,
    use_rslora: useRslora,
    use_dora: useDora,
    // Others are the weight's own factors, which a file has in full.
    init_lora_weights: init === 'gaussian' || init === 'orthogonal' ? init : true,
    fan_in_fan_out: false,
    rank_pattern: differing('r'),
    alpha_pattern: differing('alpha'),
  };
}

/** What a configuration says, checked. */
export interface ParsedConfig {
  readonly method: AdapterMethod;
  readonly bias: BiasMode;
  readonly useRslora: boolean;
  readonly useDora: boolean;
  readonly dropout: number;
  readonly k: number;
  readonly blockSize: number;
  readonly neumannTerms: number | undefined;
  /** Alpha of a path. */
  alphaOf(path: string): number;
}

function fail(problem: string): never {
  throw new CheckpointError(`loadAdapter: ${problem}; nothing was changed`);
}

/** A value of a configuration, or a default where it is absent or null. */
function field<T>(
  config: AdapterConfig,
  name: string,
  otherwise: T,
  isValid: (x: unknown) => boolean,
): T {
  const value = Object.hasOwn(config, name) ? config[name] : undefined;
  if (value === undefined || value === null) return otherwise;
  if (!isValid(value)) fail(`the configuration's ${name} is not valid: ${JSON.stringify(value)}`);
  return value as T;
}

const isBoolean = (x: unknown) => typeof x === 'boolean';
const isPositive = (x: unknown) => typeof x === 'number' && Number.isFinite(x) && x > 0;
const isCount = (x: unknown) => Number.isInteger(x) && (x as number) >= 1;
const isShare = (x: unknown) => typeof x === 'number' && x >= 0 && x < 1;
const isRecord = (x: unknown): x is Record<string, unknown> =>
  typeof x === 'object' && x !== null && !Array.isArray(x);
const isNumbers = (x: unknown) => isRecord(x) && Object.values(x).every(isPositive);

/**
 * Reads PEFT's configuration; names it does not know are passed over, as PEFT itself adds to them, but not those that
 * would change what the numbers mean.
 * @throws CheckpointError for another kind of adapter or values out of range
 */
export function parsePeftConfig(config: unknown): ParsedConfig {
  if (!isRecord(config)) return fail('the configuration must be an object');
  const type = field(config, 'peft_type', '', (x) => typeof x === 'string');
  const method = (Object.keys(PEFT_TYPES) as AdapterMethod[]).find((m) => PEFT_TYPES[m] === type);
  if (!method) {
    return fail(
      `peft_type must be ${Object.values(PEFT_TYPES).join(', ')}, got ${JSON.stringify(type)}`,
    );
  }
  for (const name of ['coft', 'oft_block_share', 'hybrid_r', 'megatron_config', 'eva_config']) {
    const value = Object.hasOwn(config, name) ? config[name] : undefined;
    if (value)
      fail(`the configuration's ${name} must be absent or off, got ${JSON.stringify(value)}`);
  }
  const biases = Object.values(BIAS_NAMES);
  const bias = field(config, 'bias', 'none', (x) => biases.includes(x as string));
  const alpha = field(config, method === 'lora' ? 'lora_alpha' : 'alpha', 8, isPositive);
  const alphas = field(config, 'alpha_pattern', {} as Record<string, number>, isNumbers);
  const neumann = method === 'oft' && field(config, 'use_cayley_neumann', true, isBoolean);
  return {
    method,
    bias: (Object.keys(BIAS_NAMES) as BiasMode[]).find((name) => BIAS_NAMES[name] === bias)!,
    useRslora: field(config, 'use_rslora', false, isBoolean),
    useDora: field(config, 'use_dora', false, isBoolean),
    dropout: field(config, method === 'lora' ? 'lora_dropout' : 'gralora_dropout', 0, isShare),
    k: field(config, 'gralora_k', 2, isCount),
    blockSize: field(config, 'oft_block_size', 32, isCount),
    neumannTerms: neumann ? field(config, 'num_cayley_neumann_terms', 5, isCount) : undefined,
    alphaOf: (path) => lookUp(alphas, path) ?? alpha,
  };
}

/**
 * Reads our own header, if there is one.
 * @throws CheckpointError if it is damaged
 */
export function parseOwnHeader(text: string | undefined): OwnHeader | undefined {
  if (text === undefined) return undefined;
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch {
    fail('the metadata of @orth/lora-group is not JSON');
  }
  if (!isRecord(header)) return fail('the metadata of @orth/lora-group is not an object');
  const isWord = (x: unknown) => Number.isInteger(x) && (x as number) === ((x as number) | 0);
  const isState = (x: unknown) => Array.isArray(x) && x.length === 4 && x.every(isWord);
  const isInit = (x: unknown) => LORA_INITS.includes(x as LoraInit);
  const random = field(header, 'random', undefined as readonly number[] | undefined, isState);
  return {
    n: field(header, 'n', 1, isCount),
    fromInitial: field(header, 'fromInitial', false, isBoolean),
    init: field(header, 'init', 'kaiming' as LoraInit, isInit),
    seed: field(header, 'seed', 0, Number.isSafeInteger),
    ...(random && { random }),
  };
}
