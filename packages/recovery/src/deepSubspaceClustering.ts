import { checkFinite, NonFiniteError } from '@orth/backend';
import {
  AdamOptimizer,
  fill,
  mul,
  ones,
  type Scalar,
  square,
  sub,
  sum,
  type Tensor1D,
  type Tensor2D,
  type Tensor4D,
  tensor1d,
  tensor2d,
  tidy,
  type Variable,
  variable,
  variableGrads,
} from '@tensorflow/tfjs-core';
import { affinity } from './affinity.js';
import { ConvAutoencoder } from './convAutoencoder.js';
import {
  type DeepSubspaceEpoch,
  type DeepSubspaceOptions,
  type DeepSubspaceStage,
  type ResolvedDeepSubspaceOptions,
  resolveDeepSubspaceOptions,
} from './deepSubspaceOptions.js';
import { type DenseMatrix, readMatrix } from './denseMatrix.js';
import { distancePreservingLoss, selfExpressionLoss, structuredNorm } from './selfExpression.js';
import { spectralClustering } from './spectralClustering.js';

/**
 * Why a stage ended: its loss settled, labels stayed the same, all steps were made, it was told to stop, or it was
 * switched off.
 */
export type StageEnd = 'settled' | 'labels' | 'epochs' | 'aborted' | 'skipped';

/** What {@link deepSubspaceClustering} finds. */
export interface DeepSubspaceResult {
  /** Cluster of each sample, 0 … clusters − 1. */
  readonly labels: Int32Array;
  /** The representation: row i expresses sample i. */
  readonly C: DenseMatrix;
  /** Loss before each step. */
  readonly history: readonly DeepSubspaceEpoch[];
  /** How each stage ended. */
  readonly stages: readonly {
    readonly stage: DeepSubspaceStage;
    readonly epochs: number;
    readonly end: StageEnd;
  }[];
}

/** Starting value of every coefficient. */
const START = 1e-8;
/** Recomputations of labels without a change that end the structured stage. */
const LABELS_PATIENCE = 3;
/** torch's; tfjs's default is larger on some backends. */
const ADAM_EPSILON = 1e-8;

/**
 * Clusters images that lie near a union of subspaces, without labels to tune or stop by: an auto-encoder and one matrix C
 * that reproduces every layer from itself, then sharpened by the structure of its own clusters.
 *
 * 1. Pre-training of the auto-encoder. 2. `Σ_l ‖C F_l − F_l‖²` over encoder and C until the loss settles. 3. The weight
 * between clusters, over C, labels being recomputed from C. 4. Spectral clustering of the retained coefficients.
 *
 * @param x - images, shape `[n, height, width, channels[0]]`, float32, best in 0 … 1; n up to about 2000, since C is `n × n`
 * @returns a promise of `{ labels, C, history, stages }`, the same for the same seed on one backend
 * @throws TypeError or RangeError, by rejecting, for a bad shape or option, or x that is not finite; NonFiniteError if a
 *   loss overflows
 * @example
 * const { labels } = await deepSubspaceClustering(images, { clusters: 10, subspaceDim: 12, channels: [1, 10, 5], kernels: [5, 3] });
 * @see Sindicic and Kopriva 2025, arXiv 2504.18179; the stopping rule is ours
 */
export async function deepSubspaceClustering(
  x: Tensor4D,
  options: DeepSubspaceOptions,
): Promise<DeepSubspaceResult> {
  const caller = 'deepSubspaceClustering';
  const resolved = resolveDeepSubspaceOptions(caller, x, options);
  checkFinite(caller, 'x', await x.data());
  const { channels, kernels, seed } = resolved;
  const net = new ConvAutoencoder({ channels, kernels, seed });
  const training = new Training(caller, x, net, resolved);
  try {
    await training.pretrain();
    await training.expressSelf();
    await training.structure();
    const { labels, C } = await training.labels();
    return { labels, C, history: training.history, stages: training.stages };
  } finally {
    training.dispose();
    net.dispose();
  }
}

/** The three stages and what they share. */
class Training {
  readonly history: DeepSubspaceEpoch[] = [];
  readonly stages: { stage: DeepSubspaceStage; epochs: number; end: StageEnd }[] = [];
  private readonly C: Variable;
  private readonly offDiagonal: Tensor2D;

  constructor(
    private readonly caller: string,
    private readonly x: Tensor4D,
    private readonly net: ConvAutoencoder,
    private readonly options: ResolvedDeepSubspaceOptions,
  ) {
    const n = x.shape[0];
    const start = fill([n, n], START);
    this.C = variable(start);
    start.dispose();
    this.offDiagonal = options.zeroDiagonal
      ? tensor2d(
          Float32Array.from({ length: n * n }, (_, e) => (e % (n + 1) === 0 ? 0 : 1)),
          [n, n],
        )
      : ones([n, n]);
  }

  /** Minimises a loss with Adam until `ended` says why to stop. */
  private async run(
    stage: DeepSubspaceStage,
    epochs: number,
    variables: Variable[],
    loss: () => Scalar,
    ended: (epoch: number, loss: number) => StageEnd | undefined | Promise<StageEnd | undefined>,
  ): Promise<void> {
    const { learningRate, onEpoch, signal, zeroDiagonal } = this.options;
    const optimizer = new AdamOptimizer(learningRate, 0.9, 0.999, ADAM_EPSILON);
    let end: StageEnd = 'epochs';
    let made = 0;
    try {
      for (let epoch = 0; epoch < epochs; epoch++) {
        if (signal?.aborted) {
          end = 'aborted';
          break;
        }
        const { value, grads } = variableGrads(() => tidy(loss), variables);
        const number = (await value.data())[0]!;
        value.dispose();
        if (Number.isFinite(number)) optimizer.applyGradients(grads as never);
        for (const g of Object.values(grads)) g.dispose();
        if (!Number.isFinite(number)) {
          throw new NonFiniteError(`${this.caller}: the loss of stage ${stage} is ${number}`);
        }
        if (zeroDiagonal && variables.includes(this.C)) {
          tidy(() => this.C.assign(mul(this.C, this.offDiagonal)));
        }
        made++;
        const record = { stage, epoch, loss: number };
        this.history.push(record);
        onEpoch?.(record);
        const reason = await ended(epoch, number);
        if (reason) {
          end = reason;
          break;
        }
      }
    } finally {
      optimizer.dispose();
    }
    this.stages.push({ stage, epochs: made, end });
  }

  /** The stopping rule: a relative change below the tolerance, several times in a row. */
  private settles(): (loss: number) => boolean {
    const { relTol, patience } = this.options;
    let last = Number.NaN;
    let quiet = 0;
    return (loss) => {
      quiet = Math.abs(loss - last) < relTol * Math.abs(last) || loss === last ? quiet + 1 : 0;
      last = loss;
      return quiet >= patience;
    };
  }

  async pretrain(): Promise<void> {
    const { pretrain, pretrainEpochs } = this.options;
    if (pretrain === 'none') {
      this.stages.push({ stage: 'pretrain', epochs: 0, end: 'skipped' });
      return;
    }
    const reconstruct = pretrain === 'reconstruction';
    const variables = reconstruct ? this.net.trainable : this.net.encoderVariables;
    const loss = (): Scalar => {
      const layers = this.net.encode(this.x);
      if (!reconstruct) return distancePreservingLoss([this.x, ...layers]);
      return sum(square(sub(this.net.decode(layers.at(-1)!), this.x)));
    };
    await this.run('pretrain', pretrainEpochs, variables, loss, () => undefined);
  }

  async expressSelf(): Promise<void> {
    const settled = this.settles();
    await this.run(
      'selfExpression',
      this.options.selfExpressionEpochs,
      [this.C, ...this.net.encoderVariables],
      () => selfExpressionLoss(this.C as Tensor2D, [this.x, ...this.net.encode(this.x)]),
      (_, loss) => (settled(loss) ? 'settled' : undefined),
    );
  }

  async structure(): Promise<void> {
    const { structuredEpochs, relabelEvery } = this.options;
    if (structuredEpochs === 0) {
      this.stages.push({ stage: 'structured', epochs: 0, end: 'skipped' });
      return;
    }
    const settled = this.settles();
    let labels = (await this.labels()).labels;
    let held: Tensor1D = tensor1d(labels, 'int32');
    let same = 0;
    try {
      await this.run(
        'structured',
        structuredEpochs,
        [this.C],
        () => structuredNorm(this.C as Tensor2D, held),
        async (epoch, loss) => {
          if (settled(loss)) return 'settled';
          if ((epoch + 1) % relabelEvery !== 0) return undefined;
          const fresh = (await this.labels()).labels;
          same = samePartition(labels, fresh) ? same + 1 : 0;
          labels = fresh;
          held.dispose();
          held = tensor1d(labels, 'int32');
          return same >= LABELS_PATIENCE ? 'labels' : undefined;
        },
      );
    } finally {
      held.dispose();
    }
  }

  /** Clusters of C as it is. */
  async labels(): Promise<{ labels: Int32Array; C: DenseMatrix }> {
    const { clusters, subspaceDim, seed, restarts } = this.options;
    const C = await readMatrix(this.caller, 'C', this.C);
    const W = await affinity(C, { keep: subspaceDim });
    return { labels: await spectralClustering(W, clusters, { seed, restarts }), C };
  }

  dispose(): void {
    this.C.dispose();
    this.offDiagonal.dispose();
  }
}

/** Whether two labellings group alike, whatever the names. */
function samePartition(a: Int32Array, b: Int32Array): boolean {
  const forth = new Map<number, number>();
  const back = new Map<number, number>();
  return a.every((x, i) => {
    const y = b[i]!;
    if (!forth.has(x)) forth.set(x, y);
    if (!back.has(y)) back.set(y, x);
    return forth.get(x) === y && back.get(y) === x;
  });
}
