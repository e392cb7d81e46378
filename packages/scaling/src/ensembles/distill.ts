import { checkInteger, checkNumber, checkOneOf, checkOptions, seededRandom } from '@orth/backend';
import {
  add,
  concat,
  dispose,
  gather,
  keep,
  mul,
  type Scalar,
  type Tensor,
  tensor1d,
  tidy,
} from '@tensorflow/tfjs-core';
import { checkFunction } from '../checks.js';
import { crossEntropy } from './combine.js';
import {
  type Batch,
  type Dataset,
  EpochSampler,
  type TokenDataset,
  tokenWindows,
} from './dataset.js';
import { distillationLoss } from './distillationLoss.js';
import { distillationPlan } from './distillationPlan.js';
import type { Predictor } from './evaluate.js';
import { type RegularizedAdamWOptions, regularizedAdamW } from './recipe.js';
import { sampleTokens } from './sampleTokens.js';
import {
  LOOP_OPTIONS,
  type LoopOptions,
  runSteps,
  type TrainableModel,
  type TrainingResult,
} from './trainingLoop.js';
import { checkModel, stepsOf } from './trainRegularized.js';

/**
 * What the student learns from: text that the teacher writes, the teacher's probabilities on the real data, or those beside
 * the data's own labels.
 */
export type DistillationMode = 'sequence' | 'logits' | 'chain';

/** Options of {@link distill}. */
export interface DistillOptions extends LoopOptions {
  /** Default `'sequence'`, the paper's; `'logits'` is cheaper and better for small models */
  readonly mode?: DistillationMode;
  /**
   * Sequence: part of each batch that the teacher wrote, in [0, 1), default 0.75. Logits: weight of the teacher beside that of
   * the labels, in [0, 1], default 1.
   */
  readonly teacherWeight?: number;
  /** Chain: factor on KL(teacher ‖ student), >= 0. Default 1 */
  readonly chainWeight?: number;
  /** Divides logits: the teacher's when it writes, both in the loss of the other modes; > 0. Default 1 */
  readonly temperature?: number;
  /** Epochs over the real data, > 0. Default 16 */
  readonly epochs?: number;
  /** Examples a step, integer >= 1. Default 256 */
  readonly batchSize?: number;
  /** Default 3e−3 */
  readonly learningRate?: number;
  /** Decoupled decay per unit of learning rate. Default 0.1: the teacher regularises */
  readonly weightDecay?: number;
  /** Seed of orders and of the teacher's text. Default 0 */
  readonly seed?: number;
  /** Sequence: text that the teacher wrote, in place of text that is written here. */
  readonly teacherData?: Dataset;
  /** Sequence: tokens that the teacher writes here, integer >= 1. Default: as many as the real data has */
  readonly teacherTokens?: number;
  /** Logits and chain: ask the teacher once for every example rather than at each step. Default true */
  readonly cacheTeacher?: boolean;
  /** What the optimizer takes beside rate, decay and steps. */
  readonly optimizer?: Omit<RegularizedAdamWOptions, 'learningRate' | 'weightDecay' | 'totalSteps'>;
}

const KNOWN = [
  'mode',
  'teacherWeight',
  'chainWeight',
  'temperature',
  'epochs',
  'batchSize',
  'learningRate',
  'weightDecay',
  'seed',
  'teacherData',
  'teacherTokens',
  'cacheTeacher',
  'optimizer',
  ...LOOP_OPTIONS,
];

/** Texts written side by side. */
const WRITERS = 64;

const isTokenDataset = (data: Dataset): data is TokenDataset =>
  'tokens' in data && 'contextLength' in data;

/** Text of the teacher, from prompts of the real text, which are not part of it. */
async function writtenData(
  caller: string,
  teacher: Predictor,
  data: Dataset,
  tokens: number | undefined,
  temperature: number,
  seed: number,
  signal: AbortSignal | undefined,
): Promise<Dataset> {
  if (!isTokenDataset(data)) {
    throw new TypeError(
      `${caller}: data must come from tokenWindows where teacherData is not given`,
    );
  }
  const random = seededRandom(seed);
  const { contextLength, targets } = data;
  const count = tokens ?? data.tokens.length;
  const prompts = Array.from({ length: Math.min(WRITERS, count) }, () => {
    const from = random.integer(0, data.tokens.length - contextLength);
    return data.tokens.subarray(from, from + contextLength);
  });
  const length = Math.max(contextLength + 1, Math.ceil(count / prompts.length));
  const texts = await sampleTokens(teacher, {
    prompts,
    length,
    temperature,
    seed,
    ...(signal && { signal }),
  });
  const windows = texts.map((text) => tokenWindows(text, { contextLength, targets }));
  const each = windows[0]!.size;
  return {
    size: each * windows.length,
    batch(indices) {
      // Windows stay within a text: the seam between two is nobody's language.
      const all = new Int32Array(indices.length * (contextLength + 1));
      indices.forEach((index, row) => {
        const from = index % each;
        const text = texts[Math.floor(index / each)]!;
        all.set(text.subarray(from, from + contextLength + 1), row * (contextLength + 1));
      });
      const starts = indices.map((_, row) => row * (contextLength + 1));
      return tokenWindows(all, { contextLength, targets }).batch(starts);
    },
  };
}

/** The teacher's logits for every example, `[size, …, V]`. */
function askOnce(teacher: Predictor, data: Dataset, batchSize: number): Tensor {
  const parts: Tensor[] = [];
  try {
    for (let from = 0; from < data.size; from += batchSize) {
      const count = Math.min(batchSize, data.size - from);
      const { inputs, targets } = data.batch(Array.from({ length: count }, (_, i) => from + i));
      try {
        parts.push(tidy(() => teacher.predict(inputs)));
      } finally {
        dispose([inputs, targets]);
      }
    }
    return tidy(() => keep(concat(parts)));
  } finally {
    dispose(parts);
  }
}

/**
 * Trains a student to do what a teacher does: puts an ensemble back into one small model.
 *
 * `'sequence'`: the teacher writes text, and each batch holds `teacherWeight` of it beside the real data, for
 * {@link distillationPlan}'s steps. `'logits'`: cross-entropy to the teacher's softmax on the real data. `'chain'`:
 * cross-entropy to the labels plus KL to the teacher, which is the member before in a chain ({@link trainMembers}).
 * A teacher of the student's own size is self-distillation.
 *
 * @param student - freshly initialised; its variables are changed
 * @param teacher - a model, or an {@link Ensemble}; the same vocabulary
 * @param data - the real data
 * @param options - see {@link DistillOptions}
 * @throws TypeError or RangeError for a wrong option or another vocabulary; NonFiniteError if the loss or a gradient is not finite;
 *   the signal's reason
 * @example
 * await distill(student, ensemble, data, { mode: 'logits', epochs: 8, weightDecay: 1 });
 * @see Kim et al. 2025, "Pre-training under infinite compute", distillation; the mode `'logits'` is ours
 */
export async function distill(
  student: TrainableModel,
  teacher: Predictor,
  data: Dataset,
  options: DistillOptions = {},
): Promise<TrainingResult> {
  const caller = 'distill';
  checkOptions(caller, options, KNOWN);
  checkModel(caller, student);
  checkFunction(caller, 'teacher.predict', teacher?.predict);
  const { mode = 'sequence', chainWeight = 1, temperature = 1, epochs = 16 } = options;
  const { batchSize = 256, learningRate = 3e-3, weightDecay = 0.1, seed = 0 } = options;
  checkOneOf(caller, 'mode', mode, ['sequence', 'logits', 'chain']);
  const sequence = mode === 'sequence';
  const teacherWeight = options.teacherWeight ?? (sequence ? 0.75 : 1);
  checkNumber(caller, 'teacherWeight', teacherWeight, {
    min: 0,
    ...(sequence ? { below: 1 } : { max: 1 }),
  });
  checkNumber(caller, 'chainWeight', chainWeight, { min: 0 });
  checkNumber(caller, 'temperature', temperature, { above: 0 });
  checkNumber(caller, 'epochs', epochs, { above: 0 });
  checkInteger(caller, 'batchSize', batchSize, { min: 1 });
  checkInteger(caller, 'seed', seed);
  for (const name of ['teacherTokens', 'reportEvery'] as const) {
    if (options[name] !== undefined) checkInteger(caller, name, options[name], { min: 1 });
  }
  const recipe = { ...options.optimizer, learningRate, weightDecay };
  if (sequence) {
    const { totalSteps } = distillationPlan({
      baseSteps: data.size / batchSize,
      epochs,
      teacherWeight,
    });
    const steps = Math.max(1, totalSteps);
    const optimizer = regularizedAdamW({ ...recipe, totalSteps: steps });
    try {
      const { teacherData, teacherTokens, signal } = options;
      const written =
        teacherWeight === 0
          ? data
          : (teacherData ??
            (await writtenData(caller, teacher, data, teacherTokens, temperature, seed, signal)));
      const mixture = new Mixture(data, written, teacherWeight, batchSize, seed);
      const work = {
        prepare(step: number) {
          const { inputs, targets } = mixture.next(step);
          return [inputs, targets] as const;
        },
        loss: ([inputs, targets]: readonly [Tensor, Tensor]) =>
          crossEntropy(student.predict(inputs), targets),
      };
      return await runSteps(caller, student, optimizer, steps, work, options);
    } finally {
      optimizer.dispose();
    }
  }
  const totalSteps = stepsOf(epochs, data.size, batchSize);
  const sampler = new EpochSampler(data.size, batchSize, seed);
  const optimizer = regularizedAdamW({ ...recipe, totalSteps });
  const { cacheTeacher = true } = options;
  let cached: Tensor | undefined;
  try {
    cached = cacheTeacher ? askOnce(teacher, data, Math.max(batchSize, 1024)) : undefined;
    const soft = { temperature, divergence: mode === 'chain' };
    const [hard, taught] = mode === 'chain' ? [1, chainWeight] : [1 - teacherWeight, teacherWeight];
    const work = {
      prepare() {
        const indices = sampler.next();
        const { inputs, targets } = data.batch(indices);
        const asked = tidy(() =>
          cached ? gather(cached, tensor1d(indices, 'int32')) : teacher.predict(inputs),
        );
        return [inputs, targets, asked] as const;
      },
      loss([inputs, targets, asked]: readonly [Tensor, Tensor, Tensor]): Scalar {
        const logits = student.predict(inputs);
        const fromTeacher = mul(distillationLoss(logits, asked, soft), taught);
        if (hard === 0) return fromTeacher as Scalar;
        return add(fromTeacher, mul(crossEntropy(logits, targets), hard)) as Scalar;
      },
    };
    return await runSteps(caller, student, optimizer, totalSteps, work, options);
  } finally {
    cached?.dispose();
    optimizer.dispose();
  }
}

/** Batches of real and written examples, of which the shares are right in every prefix of the run. */
class Mixture {
  private readonly real: EpochSampler;
  private readonly written: EpochSampler;
  private readonly buffers: [number[], number[]] = [[], []];

  constructor(
    private readonly data: Dataset,
    private readonly teacherData: Dataset,
    private readonly weight: number,
    private readonly batchSize: number,
    seed: number,
  ) {
    this.real = new EpochSampler(data.size, batchSize, seed);
    this.written = new EpochSampler(teacherData.size, batchSize, seed + 1);
  }

  next(step: number): Batch {
    const before = Math.round(step * this.batchSize * this.weight);
    const count = Math.round((step + 1) * this.batchSize * this.weight) - before;
    const parts = [
      { data: this.teacherData, indices: this.take(1, count) },
      { data: this.data, indices: this.take(0, this.batchSize - count) },
    ].filter(({ indices }) => indices.length > 0);
    const batches = parts.map(({ data, indices }) => data.batch(indices));
    if (batches.length === 1) return batches[0]!;
    const inputs = tidy(() => concat(batches.map((b) => b.inputs)));
    const targets = tidy(() => concat(batches.map((b) => b.targets)));
    for (const b of batches) dispose([b.inputs, b.targets]);
    return { inputs, targets };
  }

  private take(which: 0 | 1, count: number): number[] {
    const buffer = this.buffers[which];
    while (buffer.length < count) buffer.push(...(which === 0 ? this.real : this.written).next());
    return buffer.splice(0, count);
  }
}
