/**
 * A small regression for mixtures of experts: clusters of unequal size, each with a linear map of its own, and one layer of
 * linear experts behind a linear gate. After the specification of `ot-sparse/moe-routing`.
 */
import type { Random } from '@orth/backend';
import {
  auxiliaryLosses,
  mixtureOfExperts,
  type RouteTokensOptions,
  type RoutingReport,
} from '@orth/ot-sparse';
import {
  add,
  matMul,
  mean,
  mul,
  reshape,
  type Scalar,
  squaredDifference,
  type Tensor,
  tensor,
  tidy,
  train,
  transpose,
  type Variable,
  variable,
} from '@tensorflow/tfjs-core';

const WIDTH = 16;
const CLUSTERS = 8;
const EXPERTS = 8;
/** Tokens of a group; capacity factor 1 gives 16 slots an expert. */
const TOKENS = 128;
const GROUPS = 4;
const TEST_GROUPS = 64;
const LEARNING_RATE = 5e-3;
const AUXILIARY_WEIGHT = 0.01;

/** One router under test. */
export interface Router extends RouteTokensOptions {
  /** Adds the importance loss to the task's. */
  readonly importanceLoss?: boolean;
}

/** What training with a router led to. */
export interface MixtureOutcome {
  /** Test error over the variance of the targets. */
  readonly relativeError: number;
  /** Share of test tokens without an expert. */
  readonly dropped: number;
  /** Coefficient of variation of the tokens that each expert got in the test. */
  readonly loadVariation: number;
}

/** Clusters, their shares and their maps: the same for every router of a seed. */
export class ClusterWorld {
  private readonly means: Float64Array[];
  private readonly maps: Float64Array[];
  private readonly cumulative: number[];

  constructor(random: Random) {
    const gaussian = (size: number, scale: number) =>
      Float64Array.from({ length: size }, () => random.normal(0, scale));
    this.means = Array.from({ length: CLUSTERS }, () => gaussian(WIDTH, 1.5));
    this.maps = Array.from({ length: CLUSTERS }, () =>
      gaussian(WIDTH * WIDTH, 1 / Math.sqrt(WIDTH)),
    );
    const shares = this.means.map((_, rank) => (rank + 1) ** -0.7);
    const total = shares.reduce((sum, share) => sum + share, 0);
    let below = 0;
    this.cumulative = shares.map((share) => {
      below += share / total;
      return below;
    });
  }

  /** Tokens and targets, each `[groups, TOKENS, WIDTH]`. */
  draw(random: Random, groups: number): { readonly x: Tensor; readonly y: Tensor } {
    const shape = [groups, TOKENS, WIDTH];
    const x = new Float32Array(groups * TOKENS * WIDTH);
    const y = new Float32Array(x.length);
    for (let token = 0; token < groups * TOKENS; token++) {
      const at = random.uniform();
      const cluster = Math.min(
        this.cumulative.findIndex((edge) => at < edge) + CLUSTERS,
        2 * CLUSTERS - 1,
      );
      const centre = this.means[cluster % CLUSTERS]!;
      const map = this.maps[cluster % CLUSTERS]!;
      const input = centre.map((value) => value + random.normal());
      for (let o = 0; o < WIDTH; o++) {
        let sum = 0;
        for (let i = 0; i < WIDTH; i++) sum += input[i]! * map[i * WIDTH + o]!;
        x[token * WIDTH + o] = input[o]!;
        y[token * WIDTH + o] = sum;
      }
    }
    return { x: tensor(x, shape), y: tensor(y, shape) };
  }
}

/** A linear gate and linear experts with biases. */
class Mixture {
  readonly variables: Variable[];
  private readonly gate: Variable;
  private readonly kernel: Variable;
  private readonly bias: Variable;

  constructor(random: Random) {
    const make = (shape: number[], scale: number) => {
      const initial = random.normalTensor(shape, 0, scale);
      const result = variable(initial);
      initial.dispose();
      return result;
    };
    this.gate = make([WIDTH, EXPERTS], 0.02);
    this.kernel = make([EXPERTS, WIDTH, WIDTH], 1 / Math.sqrt(WIDTH));
    this.bias = make([EXPERTS, 1, WIDTH], 0);
    this.variables = [this.gate, this.kernel, this.bias];
  }

  /** Output and, where wanted, the importance loss; inside a tidy. */
  run(x: Tensor, { importanceLoss = false, ...options }: Router) {
    const groups = x.shape[0]!;
    const flat = matMul(reshape(x, [groups * TOKENS, WIDTH]), this.gate as Tensor as never);
    const scores = reshape(flat, [groups, TOKENS, EXPERTS]);
    const experts = (tokens: Tensor) => {
      // One product of each expert with its tokens of all groups.
      const swapped = transpose(tokens, [1, 0, 2, 3]);
      const [, , slots] = swapped.shape as [number, number, number];
      const inputs = reshape(swapped, [EXPERTS, groups * slots, WIDTH]);
      const outputs = add(matMul(inputs, this.kernel as Tensor), this.bias);
      return transpose(reshape(outputs, [EXPERTS, groups, slots, WIDTH]), [1, 0, 2, 3]);
    };
    const { output, routing } = mixtureOfExperts({ x, scores, experts }, options);
    const importance = importanceLoss ? auxiliaryLosses(scores).importance : undefined;
    return { output, report: routing.report, importance };
  }

  dispose(): void {
    for (const v of this.variables) v.dispose();
  }
}

/** Trains a layer with a router and tests it. */
export function trainMixture(
  world: ClusterWorld,
  random: Random,
  router: Router,
  steps: number,
): MixtureOutcome {
  const layer = new Mixture(random.fork(1));
  const batches = random.fork(2);
  const optimizer = train.adam(LEARNING_RATE);
  for (let step = 0; step < steps; step++) {
    tidy(() => {
      const { x, y } = world.draw(batches, GROUPS);
      optimizer.minimize(
        () => {
          const { output, importance } = layer.run(x, router);
          const error = mean(squaredDifference(output, y)) as Scalar;
          return importance ? add(error, mul(AUXILIARY_WEIGHT, importance)) : error;
        },
        false,
        layer.variables,
      );
    });
  }
  try {
    return test(layer, world, random.fork(3), router);
  } finally {
    optimizer.dispose();
    layer.dispose();
  }
}

function test(layer: Mixture, world: ClusterWorld, random: Random, router: Router): MixtureOutcome {
  let error = Number.NaN;
  let variance = Number.NaN;
  let report: RoutingReport | undefined;
  tidy(() => {
    const { x, y } = world.draw(random, TEST_GROUPS);
    const result = layer.run(x, router);
    report = result.report;
    error = mean(squaredDifference(result.output, y)).dataSync()[0]!;
    variance = mean(squaredDifference(y, mean(y, [0, 1], true))).dataSync()[0]!;
  });
  return {
    relativeError: error / variance,
    dropped: report!.droppedShare,
    loadVariation: report!.loadVariation,
  };
}
