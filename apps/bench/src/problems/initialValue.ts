/** Initial value problems for Tsit5 beside SciPy's `solve_ivp`, to one tolerance. */
import { odeSolve } from '@orth/operators';
import {
  dispose,
  matMul,
  mul,
  square,
  type Tensor,
  type Tensor2D,
  tanh,
} from '@tensorflow/tfjs-core';
import type { BenchCase, BenchContext } from '../harness/bench.js';
import { inProcess } from '../harness/contestant.js';
import { takeToHost, toDevice } from '../harness/deviceTensor.js';
import type { HostTensor } from '../harness/pythonPeers.js';

interface InitialValue {
  readonly problem: 'spiral' | 'network';
  readonly size: string;
  readonly shape: readonly [number, number];
  readonly hidden: number;
  readonly end: number;
  /** Steps of the reference. */
  readonly referenceSteps: number;
}

const SPIRAL: InitialValue = {
  problem: 'spiral',
  size: "u' = u³A, 1x2",
  shape: [1, 2],
  hidden: 2,
  end: 5,
  referenceSteps: 50_000,
};
const network = (batch: number, width: number, hidden: number): InitialValue => ({
  problem: 'network',
  size: `u' = tanh(uW)V, ${batch}x${width}, hidden ${hidden}`,
  shape: [batch, width],
  hidden,
  end: 2,
  referenceSteps: 400,
});

const TOLERANCES = [1e-3, 1e-5];

function product64(a: Float64Array, b: ArrayLike<number>, [m, k, n]: [number, number, number]) {
  const out = new Float64Array(m * n);
  for (let i = 0; i < m; i++) {
    for (let l = 0; l < k; l++) {
      const x = a[i * k + l]!;
      for (let j = 0; j < n; j++) out[i * n + j]! += x * b[l * n + j]!;
    }
  }
  return out;
}

/** The classical method of order 4 in float64, with steps far below what the tolerances ask for. */
function reference(
  dynamics: (u: Float64Array) => Float64Array,
  start: ArrayLike<number>,
  end: number,
  steps: number,
): Float64Array {
  const h = end / steps;
  let u = Float64Array.from(start);
  const shifted = (k: Float64Array, by: number) => u.map((x, i) => x + by * k[i]!);
  for (let s = 0; s < steps; s++) {
    const k1 = dynamics(u);
    const k2 = dynamics(shifted(k1, h / 2));
    const k3 = dynamics(shifted(k2, h / 2));
    const k4 = dynamics(shifted(k3, h));
    u = u.map((x, i) => x + (h / 6) * (k1[i]! + 2 * k2[i]! + 2 * k3[i]! + k4[i]!));
  }
  return u;
}

function initialValueCase(
  context: BenchContext,
  { problem, size, shape, hidden, end, referenceSteps }: InitialValue,
  tolerance: number,
): BenchCase {
  return {
    name: `operators/odeSolve ${tolerance}`,
    size,
    errorMeasure: 'greatest |difference| to float64 with tiny steps over the greatest |entry|',
    async prepare() {
      const random = context.random(shape[0] * 31 + hidden);
      const gaussian = (rows: number, columns: number, scale: number): HostTensor => ({
        shape: [rows, columns],
        data: Float32Array.from({ length: rows * columns }, () => random.normal(0, scale)),
      });
      const isSpiral = problem === 'spiral';
      const inputs: Record<string, HostTensor> = isSpiral
        ? {
            A: { shape: [2, 2], data: Float32Array.of(-0.1, 2, -2, -0.1) },
            u0: { shape, data: Float32Array.of(2, 0) },
          }
        : {
            W1: gaussian(shape[1], hidden, 2 / Math.sqrt(shape[1])),
            W2: gaussian(hidden, shape[1], 2 / Math.sqrt(hidden)),
            u0: gaussian(...shape, 1),
          };
      const { u0, A, W1, W2 } = inputs;
      const [batch, width] = shape;
      const want = reference(
        isSpiral
          ? (u) =>
              product64(
                u.map((x) => x ** 3),
                A!.data,
                [batch, 2, 2],
              )
          : (u) => {
              const inner = product64(u, W1!.data, [batch, width, hidden]).map(Math.tanh);
              return product64(inner, W2!.data, [batch, hidden, width]);
            },
        u0!.data,
        end,
        referenceSteps,
      );
      const greatest = want.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
      const error = ({ data }: HostTensor) =>
        want.reduce((most, x, i) => Math.max(most, Math.abs(x - data[i]!)), 0) / greatest;

      const device = Object.values(inputs).map(toDevice);
      const named = Object.fromEntries(Object.keys(inputs).map((name, i) => [name, device[i]!]));
      const dynamics = isSpiral
        ? (_: number, u: Tensor) => matMul(mul(square(u), u) as Tensor2D, named.A as Tensor2D)
        : (_: number, u: Tensor) =>
            matMul(
              tanh(matMul(u as Tensor2D, named.W1 as Tensor2D)) as Tensor2D,
              named.W2 as Tensor2D,
            );
      const options = { t1: end, rtol: tolerance, atol: tolerance };
      const solve = () => odeSolve(dynamics, named.u0!, options);
      return {
        ours: inProcess(
          'odeSolve, Tsit5',
          async () => (await solve()).u.dispose(),
          async () => error(await takeToHost((await solve()).u)),
        ),
        peers: await context.python.torch({
          script: 'solve_ivp',
          label: 'scipy solve_ivp, RK45',
          params: { problem, end, tolerance },
          inputs,
          error: ([output]) => error(output!),
        }),
        dispose: () => dispose(device),
      };
    },
  };
}

/** A point on a spiral, and batches through a network. */
export function initialValueCases(context: BenchContext): BenchCase[] {
  const problems = context.quick ? [SPIRAL] : [SPIRAL, network(64, 32, 64), network(256, 128, 256)];
  return problems.flatMap((problem) =>
    TOLERANCES.map((tolerance) => initialValueCase(context, problem, tolerance)),
  );
}
