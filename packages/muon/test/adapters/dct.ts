import {
  DctAdamW,
  type DctAdamWOptions,
  dequantizeRows,
  type LearningRateAdjustment,
  Trion,
  type TrionOptions,
} from '@orth/muon';
import { dct, dctMatrix, makhoulOrder, selectColumns } from '@orth/newton-schulz';
import type { Adapter } from '@orth/testing';
import {
  norm,
  pad,
  slice,
  sub,
  type Tensor,
  type Tensor2D,
  tensor,
  tidy,
} from '@tensorflow/tfjs-core';
import {
  anyOf,
  groupBy,
  lastDirection,
  layoutOf,
  matrices,
  orthogonalizationOf,
  type Params,
  runSteps,
  slotsOf,
  withPrefix,
} from './shared.js';

/** The best columns of `x Qᵀ`, and x projected on them; zero rows make it tall, so that columns are what is chosen. */
function bestColumns(x: Tensor2D, rank: number) {
  return tidy(() => {
    const [rows, n] = x.shape;
    const tall = pad(x, [
      [0, Math.max(0, n - rows)],
      [0, 0],
    ]);
    const { indices, low, back } = selectColumns(tall, { rank, basis: 'dct2', norm: 1 });
    return { indices, projected: slice(back(low), [0, 0], [rows, n]) };
  });
}

/** For each `X_<n>`: `Q_`, `dct2_rows_`, `matmul_`, `makhoul_perm_`, `best<r>_columns_` and `residual_<n>`. */
const transforms: Adapter = ({ inputs, wanted }) => {
  const outputs: Record<string, Tensor | ArrayLike<number>> = {};
  /** The residual is that of the best columns, which are two unless others are wanted. */
  const rankFor = (size: string) => {
    const of = (n: string) =>
      wanted.flatMap(
        (output) => new RegExp(`^best(\\d+)_columns_${n}$`).exec(output)?.[1] ?? [],
      )[0];
    return Number(of(size) ?? of('\\d+') ?? 2);
  };
  for (const output of wanted) {
    const match = /^(.+)_(\d+)$/.exec(output);
    if (!match) throw new Error(`unknown output ${output}`);
    const [, kind, size] = match;
    const n = Number(size);
    const x = inputs[`X_${n}`] as Tensor2D;
    const best = /^best(\d+)_columns$/.exec(kind!)?.[1];
    if (best) {
      const { indices, projected } = bestColumns(x, Number(best));
      projected.dispose();
      outputs[output] = indices;
    } else if (kind === 'residual') {
      outputs[output] = tidy(() =>
        norm(sub(x, bestColumns(x, Math.min(n, rankFor(size!))).projected)),
      );
    } else if (kind === 'Q') outputs[output] = dctMatrix(n);
    else if (kind === 'dct2_rows') outputs[output] = dct(x, { transform: 'fft' });
    else if (kind === 'matmul') outputs[output] = dct(x, { type: 3, transform: 'matmul' });
    else if (kind === 'makhoul_perm') outputs[output] = makhoulOrder(n);
    else throw new Error(`unknown output ${output}`);
  }
  return outputs;
};

const SCALINGS: Record<string, LearningRateAdjustment> = {
  kj: 'original',
  kimi: 'matchRmsAdamW',
  dion: 'spectral',
  none: 'none',
};

/** What the fast path is called. */
const FAST = ['makhoul', 'fft'];

/** The reference's product path has DCT-III vectors on the right and DCT-II on the left; its fast path DCT-II. */
function trionOptions(params: Params, mode: string, shape: readonly number[]): TrionOptions {
  const { rank, learningRate, weightDecay = 0, momentum = 0.95, nsSteps = 5 } = params;
  if (!['matmul', ...FAST].includes(mode)) throw new Error(`unknown mode ${mode}`);
  const tall = shape[0]! >= shape[1]!;
  return {
    rank,
    learningRate,
    weightDecay,
    momentum,
    layout: layoutOf(params.layout),
    orthogonalization: { ...orthogonalizationOf(params), steps: nsSteps },
    ...(mode === 'matmul'
      ? { basis: tall ? 'dct3' : 'dct2', transform: 'matmul' }
      : { basis: 'dct2', transform: 'fft' }),
    groups: [{ match: matrices, optimizer: 'trion' }],
  };
}

/** `indices<t>_`, `momentum_`, `direction_<param>_<mode>` and `p<t>_<param>_<mode>_<scaling>`. */
const trion: Adapter = async ({ inputs, params, wanted }) => {
  const start = withPrefix('p_', inputs);
  const gradients = withPrefix('g_', inputs);
  const names = anyOf(Object.keys(start));
  const total: number = params.steps ?? Object.values(gradients)[0]!.shape[0];
  const pattern = `^(p|indices|momentum|direction)(\\d*)_(${names})_([a-z]+)(?:_([a-z]+))?$`;
  const parsed = wanted.map((output) => {
    const match = new RegExp(pattern).exec(output);
    if (!match) throw new Error(`unknown output ${output}`);
    const [, kind, at, name, mode, scaling = 'none'] = match as unknown as string[];
    const step = at ? Number(at) : total;
    return { output, kind, name: name!, mode: mode!, scaling, step };
  });
  const outputs: Record<string, Tensor | ArrayLike<number>> = {};
  for (const group of groupBy(parsed, (p) => `${p.name} ${p.mode} ${p.scaling}`)) {
    const { name, mode, scaling } = group[0]!;
    const [w, g] = [start[name]!, gradients[name]!];
    const adjustLearningRate = SCALINGS[scaling];
    if (!adjustLearningRate) throw new Error(`unknown scaling ${scaling}`);
    const options = { ...trionOptions(params, mode, w.shape), adjustLearningRate };
    const optimizer = new Trion(options);
    await runSteps(optimizer, w, g, total, async (step, weights) => {
      for (const { output, kind } of group.filter((item) => item.step === step)) {
        if (kind === 'p') outputs[output] = weights.clone();
        else if (kind !== 'direction') outputs[output] = (await slotsOf(optimizer))[kind!]!.data;
      }
    });
    for (const { output } of group.filter(({ kind }) => kind === 'direction')) {
      const plain = new Trion({ ...options, learningRate: 1, weightDecay: 0 });
      outputs[output] = await lastDirection(plain, w, g, total);
    }
  }
  return outputs;
};

/** A named configuration: `{ rotate, ef, gap, mode, ell, qbits }`, all optional, as the reference has them. */
function dctAdamWOptions(params: Params, config: Params): DctAdamWOptions {
  const { rank, learningRate, weightDecay = 0, betas = [0.9, 0.999], eps = 1e-8 } = params;
  const { rotate = false, ef = false, gap = 1, mode = 'matmul', ell = 1, qbits = 0 } = config;
  return {
    rank,
    learningRate,
    weightDecay,
    beta1: betas[0],
    beta2: betas[1],
    epsilon: eps,
    rotateStates: rotate,
    errorFeedback: ef,
    // The repository's 8-bit store has 16 levels.
    errorBits: qbits === 'repo8' ? 4 : qbits,
    updateGap: gap,
    // The fast path ranks by the 1-norm, whatever the configuration says.
    ...(FAST.includes(mode)
      ? { basis: 'dct2', transform: 'fft', norm: 1 }
      : { basis: 'dct3', transform: 'matmul', norm: ell }),
    groups: [{ match: matrices, optimizer: 'dctAdamW' }],
  };
}

const MOMENTS: Record<string, string> = { m: 'firstMoment', v: 'secondMoment' };

/** `p<t>_`, `indices<t>_<param>_<config>`, and of the last step `m_`, `v_`, `error_<param>_<config>`. */
const adamW: Adapter = async ({ inputs, params, wanted }) => {
  const start = withPrefix('p_', inputs);
  const gradients = withPrefix('g_', inputs);
  const names = anyOf(Object.keys(start));
  const total: number = params.steps ?? Object.values(gradients)[0]!.shape[0];
  const pattern = `^(p|indices|m|v|error)(\\d*)_(${names})_(.+)$`;
  const parsed = wanted.map((output) => {
    const match = new RegExp(pattern).exec(output);
    if (!match) throw new Error(`unknown output ${output}`);
    const [, kind, at, name, config] = match as unknown as string[];
    const step = at ? Number(at) : total;
    return { output, kind: kind!, name: name!, config: config!, step };
  });
  const outputs: Record<string, Tensor | ArrayLike<number>> = {};
  for (const group of groupBy(parsed, (p) => `${p.name} ${p.config}`)) {
    const { name, config } = group[0]!;
    const options = dctAdamWOptions(params, params.configs[config]);
    const optimizer = new DctAdamW(options);
    await runSteps(optimizer, start[name]!, gradients[name]!, total, async (step, weights) => {
      for (const { output, kind } of group.filter((item) => item.step === step)) {
        if (kind === 'p') {
          outputs[output] = weights.clone();
          continue;
        }
        const slots = await slotsOf(optimizer);
        if (kind !== 'error') outputs[output] = slots[MOMENTS[kind] ?? kind]!.data;
        else if (slots.error) outputs[output] = slots.error.data;
        else {
          const [rows] = weights.shape as [number, number];
          outputs[output] = tidy(() => {
            const codes = tensor(slots.errorCodes!.data as Int32Array, undefined, 'int32');
            const range = tensor(slots.errorRange!.data as Float32Array, [rows, 2]);
            return dequantizeRows({ codes, range }, weights.shape, options.errorBits as 4 | 8);
          });
        }
      }
    });
  }
  return outputs;
};

export const adapters: Record<string, Adapter> = {
  'muon/dct/transforms': transforms,
  'muon/dct/trion': trion,
  'muon/dct/adamw': adamW,
};
