/** A stack of dense layers trained whole or by adapters: a step, its peak memory, and inference. */
import { type AdaptedVariables, type AdaptOptions, adapt, pegoLoss } from '@orth/lora-group';
import {
  add,
  matMul,
  mean,
  profile,
  relu,
  type Scalar,
  square,
  sub,
  type Tensor,
  tidy,
  train,
  type Variable,
  variable,
} from '@tensorflow/tfjs-core';
import type { BenchContext } from '../harness/bench.js';
import { isSynchronous } from '../harness/deviceTensor.js';

/** Sizes of the stack. */
export interface Stack {
  readonly layers: number;
  readonly width: number;
  readonly batch: number;
}

/** As tables show it. */
export const sizeOf = ({ layers, width, batch }: Stack): string =>
  `${layers}x(${width}x${width}), batch ${batch}`;

let stacks = 0;

/** A stack on the device, with a batch to train on. */
export class TrainedStack {
  readonly weights: Record<string, Variable> = {};
  private readonly x: Tensor;
  private readonly y: Tensor;
  private readonly optimizer = train.adam(1e-4);
  private adapters: AdaptedVariables | undefined;
  private penalty = 0;

  constructor(context: BenchContext, { layers, width, batch }: Stack) {
    const random = context.random(width);
    const prefix = `stack${stacks++}`;
    for (let i = 0; i < layers; i++) {
      const start = random.normalTensor([width, width], 0, Math.sqrt(2 / width));
      this.weights[`layer${i}`] = variable(start, true, `${prefix}/layer${i}`);
      start.dispose();
    }
    this.x = random.normalTensor([batch, width]);
    this.y = random.normalTensor([batch, width]);
  }

  /** Puts adapters on all layers. */
  async adapt(options: AdaptOptions, penalty = 0): Promise<this> {
    this.adapters = await adapt(this.weights, options);
    this.penalty = penalty;
    return this;
  }

  /** Writes the adapters into the weights. */
  merge(): void {
    this.adapters!.merge();
  }

  /** What is trained. */
  get trained(): readonly Variable[] {
    return this.adapters?.trainableVariables ?? Object.values(this.weights);
  }

  /** The output for the batch. */
  forward(): Tensor {
    return tidy(() =>
      Object.keys(this.weights).reduce((h, name) => {
        const y = this.adapters ? this.adapters.apply(name, h) : matMul(h, this.weights[name]!);
        return relu(y);
      }, this.x),
    );
  }

  /** The same by the pretrained weights alone, as a model without this library would. */
  plainForward(): Tensor {
    return tidy(() => Object.values(this.weights).reduce((h, W) => relu(matMul(h, W)), this.x));
  }

  /** One step of Adam. */
  step(): undefined | Promise<unknown> {
    const trained = [...this.trained];
    this.optimizer.minimize(
      () =>
        tidy(() => {
          const loss = mean(square(sub(this.forward(), this.y)));
          if (this.penalty === 0) return loss as Scalar;
          return add(loss, pegoLoss(this.adapters!, { lambda: this.penalty })) as Scalar;
        }),
      false,
      trained,
    );
    return isSynchronous() ? undefined : trained.at(-1)!.data();
  }

  /** Megabytes of tensors at the worst moment of a step, weights and Adam's moments included. */
  async peak(): Promise<number> {
    await this.step();
    const { peakBytes } = await profile(() => {
      this.step();
      return [];
    });
    return peakBytes / 2 ** 20;
  }

  dispose(): void {
    this.adapters?.dispose();
    this.optimizer.dispose();
    for (const x of [...Object.values(this.weights), this.x, this.y]) x.dispose();
  }
}
