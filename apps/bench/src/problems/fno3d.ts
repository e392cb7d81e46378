/** FNO-3D (Li et al. 2021), trained end to end: all known frames and the coordinates at each point of space-time. */
import type { Random } from '@orth/backend';
import { AdamW } from '@orth/muon';
import { type Modes, oneCycle, spectralConv } from '@orth/operators';
import {
  add,
  broadcastTo,
  concat,
  div,
  gather,
  linspace,
  matMul,
  mean,
  relu,
  reshape,
  type Scalar,
  sqrt,
  square,
  sub,
  sum,
  type Tensor,
  type Tensor2D,
  tensor1d,
  tidy,
  transpose,
  type Variable,
  variable,
  variableGrads,
} from '@tensorflow/tfjs-core';
import type { Trajectories } from './turbulence.js';

/** The network; 10 frames in and out. */
export class Fno3d {
  readonly variables: Variable[] = [];
  private readonly lift: readonly Variable[];
  private readonly layers: readonly (readonly Variable[])[];
  private readonly project: readonly (readonly Variable[])[];

  constructor(
    random: Random,
    private readonly options: { modes: Modes; width: number; layers: number; hidden: number },
  ) {
    const { modes, width: C, layers, hidden } = options;
    const made = (shape: number[], limit: number) => {
      const start = random.uniformTensor(shape, -limit, limit);
      const w = variable(start);
      start.dispose();
      this.variables.push(w);
      return w;
    };
    const dense = (co: number, ci: number) => [
      made([co, ci], 1 / Math.sqrt(ci)),
      made([co, 1], 1 / Math.sqrt(ci)),
    ];
    this.lift = dense(C, 13);
    this.layers = Array.from({ length: layers }, () => [
      made([2, modes[2], 2 * modes[1], 2 * modes[0], C, C], 1 / C ** 2),
      ...dense(C, C),
    ]);
    this.project = [dense(hidden, C), dense(1, hidden)];
  }

  /** `[batch, 10, n, n]` to the frames that follow. */
  predict(x: Tensor): Tensor {
    const [b, t, n] = x.shape as [number, number, number];
    const { width: C, layers } = this.options;
    const axis = (length: number, shape: number[]) =>
      broadcastTo(reshape(linspace(0, 1, length), shape), [1, b, n, n, t]);
    // Channels first: the known frames at every time, then x, y and t.
    const known = reshape(transpose(x, [1, 0, 2, 3]), [t, b, n, n, 1]);
    const input = concat(
      [
        broadcastTo(known, [t, b, n, n, t]),
        axis(n, [1, 1, n, 1, 1]),
        axis(n, [1, 1, 1, n, 1]),
        axis(t, [1, 1, 1, 1, t]),
      ],
      0,
    );
    const dense = ([w, bias]: readonly Variable[], v: Tensor) =>
      add(matMul(w as Tensor as Tensor2D, reshape(v, [v.shape[0]!, -1]) as Tensor2D), bias!);
    let v: Tensor = dense(this.lift, input);
    this.layers.forEach(([spectral, ...skip], index) => {
      const field = transpose(reshape(v, [C, b, n, n, t]), [1, 0, 2, 3, 4]);
      const mixed = transpose(spectralConv(field, spectral as Tensor), [1, 0, 2, 3, 4]);
      const sums = add(reshape(mixed, [C, -1]), dense(skip, v));
      v = index < layers - 1 ? relu(sums) : sums;
    });
    const [first, last] = this.project;
    const out = dense(last!, relu(dense(first!, v)));
    return transpose(reshape(out, [b, n, n, t]), [0, 3, 1, 2]);
  }

  /** Adam with the one-cycle schedule on the relative L² error, as the other network is trained. */
  async train(
    data: Trajectories,
    options: { epochs: number; batch: number; rate: number; random: Random },
  ): Promise<void> {
    const { epochs, batch, rate, random } = options;
    const count = data.known.shape[0]!;
    const steps = epochs * Math.ceil(count / batch);
    const cycle = { max: rate, divisor: 1e3, finalDivisor: 1e4, steps };
    const optimizer = new AdamW({
      learningRate: (step) => oneCycle(cycle, step),
      beta2: 0.999,
      epsilon: 1e-8,
      weightDecay: 0,
    });
    for (let epoch = 0; epoch < epochs; epoch++) {
      const order = random.shuffle(Array.from({ length: count }, (_, i) => i));
      for (let at = 0; at < count; at += batch) {
        tidy(() => {
          const rows = tensor1d(order.slice(at, at + batch), 'int32');
          const [x, y] = [gather(data.known, rows), gather(data.next, rows)];
          const power = (z: Tensor) => sum(square(z), [1, 2, 3]);
          const { grads } = variableGrads(
            () => mean(sqrt(div(power(sub(this.predict(x), y)), power(y)))) as Scalar,
            this.variables,
          );
          optimizer.applyGradients(grads);
        });
        // Lets progress be shown and timers run.
        await Promise.resolve();
      }
    }
    optimizer.dispose();
  }

  dispose(): void {
    for (const w of this.variables) w.dispose();
  }
}
