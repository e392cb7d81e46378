import { customGrad, mul, reshape, sum, Tensor, tensor, tidy } from '@tensorflow/tfjs-core';
import { checkLine, checkPoints, type PointRequest } from './pointArguments.js';
import type { Weights } from './transportArguments.js';

/** Derivatives of one value, row-major as the arguments are; points `m × d` and `n × d`. */
export interface PointGradients {
  readonly x: Float64Array;
  readonly y: Float64Array;
  /** Up to a constant where both masses must stay equal. */
  readonly a: Float64Array;
  readonly b: Float64Array;
}

/** What is known of one pair of clouds. */
export interface PointSolution {
  readonly value: number;
  /** Computed when asked for. */
  gradients(): PointGradients;
  readonly iterations: number;
  readonly converged: boolean;
  /** ‖T1 − a‖₁ + ‖Tᵀ1 − b‖₁ of the plan behind the value, the worst where there are several. */
  readonly marginalError: number;
}

/**
 * A number that compares two clouds of points, or one for each pair of a batch, with gradients that were derived rather
 * than unrolled.
 */
export class PointResult<Solution extends PointSolution = PointSolution> {
  /** Solutions on the host in float64, one a pair. */
  readonly solutions: readonly Solution[];
  /**
   * The value as a tensor, shape `[…]` (a scalar for a single pair), float32. Differentiable in the tensors that were passed
   * as x, y, a and b (not from `…Async` functions: use {@link attach} there). Disposed by {@link dispose}.
   */
  readonly value: Tensor;
  protected readonly request: PointRequest;

  /** For authors of functions between clouds; `differentiable` is false after an `await`. */
  constructor(request: PointRequest, solutions: readonly Solution[], differentiable: boolean) {
    this.request = request;
    this.solutions = solutions;
    const { x, y, weights } = request;
    this.value = differentiable ? this.attachTo([x, y, weights.a, weights.b]) : this.plain();
  }

  /** The values in float64, one a pair. */
  get values(): Float64Array {
    return Float64Array.from(this.solutions, ({ value }) => value);
  }

  /** Whether every pair met its stopping rule. */
  get converged(): boolean {
    return this.solutions.every(({ converged }) => converged);
  }

  /** Most iterations of any pair. */
  get iterations(): number {
    return this.solutions.reduce((most, { iterations }) => Math.max(most, iterations), 0);
  }

  /** Worst marginal error of any pair. */
  get marginalError(): number {
    return this.solutions.reduce((most, { marginalError }) => Math.max(most, marginalError), 0);
  }

  /**
   * The value as a function of other tensors that hold the same points: equal to `value`, with gradients with respect to
   * the tensors given here. This is how an asynchronous result becomes a loss.
   *
   * @param x - same shape as the x of the call
   * @param y - same shape as the y of the call
   * @param weights - masses to differentiate with respect to
   * @returns shape `[…]`; the caller disposes it
   * @throws TypeError or RangeError for another kind or shape
   */
  attach(x: Tensor, y: Tensor, weights: Weights = {}): Tensor {
    const { d, m, n, batchShape } = this.request;
    // On a line there is no axis of coordinates.
    const line = isLine(this.request);
    const got = (line ? checkLine : checkPoints)('attach', x, y, weights);
    const shape = [...got.batchShape, got.m, got.n, got.d];
    const want = [...batchShape, m, n, d];
    if (`${shape}` !== `${want}`) {
      const rule = `of the call, [${this.shapeOf(m)}] and [${this.shapeOf(n)}]`;
      throw new RangeError(
        `attach: x and y must have the shapes ${rule}, got [${x.shape}] and [${y.shape}]`,
      );
    }
    return this.attachTo([x, y, weights.a, weights.b]);
  }

  /** Disposes `value`. May be called twice. */
  dispose(): void {
    this.value.dispose();
  }

  private shapeOf(length: number): number[] {
    const { batchShape, d } = this.request;
    return isLine(this.request) ? [...batchShape, length] : [...batchShape, length, d];
  }

  private plain(): Tensor {
    return tensor(Float32Array.from(this.values), [...this.request.batchShape], 'float32');
  }

  private attachTo(candidates: readonly unknown[]): Tensor {
    const names = ['x', 'y', 'a', 'b'] as const;
    const inputs: Tensor[] = [];
    const wanted: (typeof names)[number][] = [];
    candidates.forEach((candidate, i) => {
      if (!(candidate instanceof Tensor)) return;
      inputs.push(candidate);
      wanted.push(names[i]!);
    });
    if (inputs.length === 0) return this.plain();
    const shapes = inputs.map(({ shape }) => shape);
    const op = customGrad(() => ({
      value: this.plain(),
      gradFunc: (dy: Tensor) => {
        const gradients = this.solutions.map((solution) => solution.gradients());
        return wanted.map((name, i) =>
          this.weighted(
            dy,
            gradients.map((each) => each[name]),
            shapes[i]!,
          ),
        );
      },
    }));
    return op(...inputs);
  }

  /** dy · gradient, summed over the batch where all pairs share one side's masses. */
  private weighted(dy: Tensor, gradients: readonly Float64Array[], shape: number[]): Tensor {
    const count = gradients.length;
    const length = gradients[0]!.length;
    const all = new Float32Array(count * length);
    gradients.forEach((gradient, index) => {
      all.set(gradient, index * length);
    });
    return tidy(() => {
      const each = mul(reshape(dy, [count, 1]), tensor(all, [count, length]));
      const size = shape.reduce((product, dimension) => product * dimension, 1);
      return reshape(size < count * length ? sum(each, 0) : each, shape);
    });
  }
}

const isLine = ({ x, batchShape }: PointRequest): boolean =>
  !('shape' in x) || x.shape.length === batchShape.length + 1;
