import {
  checkBoolean,
  checkInteger,
  checkNumber,
  checkOptions,
  checkTensor,
  seededRandom,
} from '@orth/backend';
import {
  add,
  broadcastTo,
  expandDims,
  reshape,
  Tensor,
  type Tensor2D,
  tidy,
  type Variable,
  variable,
  zeros,
} from '@tensorflow/tfjs-core';
import { FeaturePrompts } from './featurePrompts.js';
import { checkTarget, type PromptLossWeights, resolveWeights } from './promptLosses.js';
import type { ClassSelection, PreparedClasses, PromptSource } from './promptSource.js';
import { averageByClass, descriptionTexts, encodeTexts } from './targets.js';
import { checkEncoder, type TextEncoder, tokenizeAll } from './textEncoder.js';
import { checkClassTokens, TokenPrompts, tokensOf } from './tokenPrompts.js';

/** Options of both modes of {@link MSGCoOp}. */
export interface SharedPromptOptions extends PromptLossWeights {
  /** Prompts N. Default 4, or as many as the tensor `ctxInit` holds */
  readonly numPrompts?: number;
  /** Features to be near to, a row for each class, shape `[C, D]`; copied. */
  readonly target?: Tensor2D;
  /**
   * Standard deviation of normal noise on the initial contexts. At 0 (default, as the authors have it) all contexts that
   * start from one text stay equal for ever: the N prompts are one, learned at 1/N of the rate and N times the decay.
   */
  readonly initNoise?: number;
  /** Of initial values, and of the order of images. Default 0 */
  readonly seed?: number;
}

/** Options of {@link MSGCoOp} with a text encoder. */
export interface TokenPromptOptions extends SharedPromptOptions {
  /** Frozen; not freed by `dispose`. */
  readonly encoder: TextEncoder;
  /** Classes by name; or by `tokens`. */
  readonly classNames?: readonly string[];
  /** Classes by the tokens of `name.`, from the start to the end token, without the context. */
  readonly tokens?: readonly (readonly number[])[];
  /** Descriptions of each class, in place of `target`: its mean feature is computed by the encoder. */
  readonly descriptions?: readonly (readonly string[])[];
  /** Tokens n of a context. Default 4, or as many as `ctxInit` has */
  readonly ctxTokens?: number;
  /**
   * A text whose embeddings the contexts start from; `'random'` for N(0, 0.02); or embeddings `[n, d]`, `[N, n, d]` or
   * `[N, C, n, d]`. Default `'a photo of a'`
   */
  readonly ctxInit?: string | Tensor;
  /** Contexts for each class of their own, `[N, C, n, d]`; they serve no new classes. Default false */
  readonly classSpecific?: boolean;
}

/** Options of {@link MSGCoOp} in feature-space mode. */
export interface FeaturePromptOptions extends SharedPromptOptions {
  /** Text features of the classes, shape `[C, D]`; copied. What is learned is an offset `[N, D]` of them. */
  readonly classFeatures: Tensor2D;
}

/** Options of {@link MSGCoOp}. */
export type MSGCoOpOptions = TokenPromptOptions | FeaturePromptOptions;

/** Everything a model is made of. */
export interface PromptModel {
  readonly source: PromptSource;
  readonly classes: PreparedClasses;
  readonly target: Tensor | undefined;
  readonly weights: Required<PromptLossWeights>;
  readonly seed: number;
}

const SHARED = [
  'semanticWeight',
  'diversityWeight',
  'logitScale',
  'numPrompts',
  'target',
  'initNoise',
  'seed',
];
const TOKEN = [
  'encoder',
  'classNames',
  'tokens',
  'descriptions',
  'ctxTokens',
  'ctxInit',
  'classSpecific',
];
const DEFAULT_PROMPTS = 4;
const DEFAULT_TOKENS = 4;
const DEFAULT_TEXT = 'a photo of a';
/** CoOp's standard deviation of random contexts. */
const RANDOM_DEVIATION = 0.02;

const isFeatureMode = (options: MSGCoOpOptions): options is FeaturePromptOptions =>
  typeof options === 'object' && options !== null && 'classFeatures' in options;

/** Checks options and makes all a model needs; on an error nothing is left behind. */
export function createPromptModel(caller: string, options: MSGCoOpOptions): PromptModel {
  const featureMode = isFeatureMode(options);
  checkOptions(caller, options, [...SHARED, ...(featureMode ? ['classFeatures'] : TOKEN)]);
  const weights = resolveWeights(caller, options);
  const { initNoise = 0, seed = 0 } = options;
  checkNumber(caller, 'initNoise', initNoise, { min: 0 });
  checkInteger(caller, 'seed', seed);
  if (options.numPrompts !== undefined) {
    checkInteger(caller, 'numPrompts', options.numPrompts, { min: 1 });
  }
  const source = featureMode
    ? featureSource(caller, options)
    : tokenSource(caller, options as TokenPromptOptions);
  let classes: PreparedClasses | undefined;
  let target: Tensor | undefined;
  try {
    classes = source.prepare(caller, selectionOf(options));
    target = makeTarget(caller, options, classes.size, source.featureDim);
    if (!target && weights.semanticWeight > 0) {
      throw new TypeError(
        `${caller}: target or descriptions must be given where semanticWeight is not 0, got neither`,
      );
    }
    return { source, classes, target, weights, seed };
  } catch (error) {
    source.parameter.dispose();
    classes?.dispose();
    throw error;
  }
}

const selectionOf = (options: MSGCoOpOptions): ClassSelection =>
  Object.fromEntries(
    Object.entries(options).filter(([key]) =>
      ['classNames', 'tokens', 'classFeatures'].includes(key),
    ),
  );

function featureSource(caller: string, options: FeaturePromptOptions): FeaturePrompts {
  const { classFeatures, numPrompts = DEFAULT_PROMPTS, initNoise = 0, seed = 0 } = options;
  checkTensor(caller, 'classFeatures', classFeatures, { rank: 2 });
  const shape = [numPrompts, classFeatures.shape[1]];
  return new FeaturePrompts(tidy(() => makeParameter(zeros(shape), initNoise, seed)));
}

function tokenSource(caller: string, options: TokenPromptOptions): TokenPrompts {
  const { encoder, classSpecific = false, initNoise = 0, seed = 0 } = options;
  checkEncoder(caller, encoder);
  checkBoolean(caller, 'classSpecific', classSpecific);
  const tokens = tokensOf(caller, encoder, selectionOf(options));
  const parameter = tidy(() => {
    const start = initialContexts(caller, options, tokens.length);
    const n = start.shape[start.rank - 2]!;
    checkClassTokens(caller, encoder, options, tokens, n);
    return makeParameter(start, initNoise, seed);
  });
  return new TokenPrompts(encoder, parameter);
}

/** Shape `[N, n, d]` or `[N, C, n, d]`. */
function initialContexts(caller: string, options: TokenPromptOptions, classes: number): Tensor {
  const { encoder, ctxInit = DEFAULT_TEXT, classSpecific = false, seed = 0 } = options;
  const { ctxTokens, numPrompts } = options;
  if (ctxTokens !== undefined) checkInteger(caller, 'ctxTokens', ctxTokens, { min: 1 });
  const d = encoder.embedDim;
  const shapeOf = (n: number, N = numPrompts ?? DEFAULT_PROMPTS) =>
    classSpecific ? [N, classes, n, d] : [N, n, d];
  if (ctxInit === 'random') {
    const random = seededRandom(seed).fork(1);
    return random.normalTensor(shapeOf(ctxTokens ?? DEFAULT_TOKENS), 0, RANDOM_DEVIATION);
  }
  const given = ctxInit instanceof Tensor ? ctxInit : embedText(caller, encoder, ctxInit);
  checkTensor(caller, 'ctxInit', given, { minRank: 2 });
  const n = given.shape[given.rank - 2]!;
  const N = given.rank === 2 ? undefined : given.shape[0]!;
  if (ctxTokens !== undefined && n !== ctxTokens) {
    throw new RangeError(`${caller}: ctxInit must have ctxTokens ${ctxTokens} tokens, got ${n}`);
  }
  if (numPrompts !== undefined && N !== undefined && N !== numPrompts) {
    throw new RangeError(`${caller}: ctxInit must be of numPrompts ${numPrompts}, got ${N}`);
  }
  const shape = shapeOf(n, N);
  const fits = given.rank <= shape.length && `${given.shape.slice(-2)}` === `${[n, d]}`;
  const full = given.rank < 4 || `${given.shape}` === `${shape}`;
  if (!fits || !full) {
    throw new RangeError(
      `${caller}: ctxInit must have shape [n,${d}], [N,n,${d}]${classSpecific ? ` or [N,${classes},n,${d}]` : ''}, got shape [${given.shape}]`,
    );
  }
  const aligned = classSpecific && given.rank === 3 ? expandDims(given, 1) : given;
  return broadcastTo(aligned, shape as [number, number, number]);
}

/** Embeddings of a text without its start and end, shape `[n, d]`. */
function embedText(caller: string, encoder: TextEncoder, text: unknown): Tensor {
  if (typeof text !== 'string') {
    throw new TypeError(`${caller}: ctxInit must be a text or a tensor, got ${typeof text}`);
  }
  if (!encoder.tokenize) {
    throw new TypeError(
      `${caller}: ctxInit must be 'random' or a tensor where the encoder has no tokenize, got ${JSON.stringify(text)}`,
    );
  }
  const inner = tokenizeAll(caller, encoder, [text])[0]!.slice(1, -1);
  if (inner.length === 0) {
    throw new RangeError(`${caller}: ctxInit must hold a word, got ${JSON.stringify(text)}`);
  }
  return reshape(encoder.embed([inner]), [inner.length, encoder.embedDim]);
}

function makeParameter(start: Tensor, initNoise: number, seed: number): Variable {
  if (initNoise === 0) return variable(start);
  const noise = seededRandom(seed)
    .fork(2)
    .normalTensor([...start.shape], 0, initNoise);
  return variable(add(start, noise));
}

function makeTarget(
  caller: string,
  options: MSGCoOpOptions,
  classes: number,
  featureDim: number,
): Tensor | undefined {
  const { target } = options;
  const { descriptions, encoder, classNames } = options as TokenPromptOptions;
  if (target && descriptions) {
    throw new TypeError(`${caller}: target must not be given beside descriptions, got both`);
  }
  if (descriptions) {
    if (!classNames) {
      throw new TypeError(`${caller}: classNames must be given with descriptions, got none`);
    }
    const { texts, counts } = descriptionTexts(caller, classNames, descriptions);
    return tidy(() => averageByClass(encodeTexts(caller, encoder, texts), counts));
  }
  if (target === undefined) return undefined;
  checkTarget(caller, target, classes, featureDim);
  return target.clone();
}
