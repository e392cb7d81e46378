import type { Adapter, AdapterContext } from '@orth/testing';
import {
  expandDims,
  getBackend,
  grad,
  mul,
  reshape,
  squeeze,
  sum,
  type Tensor,
  tidy,
} from '@tensorflow/tfjs-core';
import {
  bestRestarts,
  type CoefficientRow,
  cansCoefficients,
  exactPolar,
  exactPolarAsync,
  mapSingularValues,
  type OrthogonalizeOptions,
  oddMinimaxQuintic,
  orthogonalityError,
  orthogonalize,
  polarError,
  polarExpressCoefficients,
  restartStability,
  SCHEDULES,
  type ScheduleName,
  spectralError,
} from '../src/index.js';
import { aolScale, schatten4, shortGram } from '../src/normalize.js';

type Output = Tensor | ArrayLike<number> | number;

/** Computes every wanted output by `compute`. */
async function each(
  { wanted }: AdapterContext,
  compute: (name: string) => Output | Promise<Output>,
): Promise<Record<string, Output>> {
  const outputs: Record<string, Output> = {};
  for (const name of wanted) outputs[name] = await compute(name);
  return outputs;
}

/** Splits `<kind>_<input>`, the input being the longest that fits. */
function splitInput({ inputs }: AdapterContext, name: string, prefix = ''): [string, Tensor] {
  const [input] = Object.keys(inputs)
    .filter((key) => name.endsWith(`_${key.slice(prefix.length)}`) && key.startsWith(prefix))
    .sort((a, b) => b.length - a.length);
  if (input === undefined) throw new Error(`output ${name} names no input`);
  return [name.slice(0, -(input.length - prefix.length + 1)), inputs[input]!];
}

function match(name: string, pattern: RegExp): Record<string, string> {
  const groups = pattern.exec(name)?.groups;
  if (!groups) throw new Error(`output ${name} is not of a known kind`);
  return groups;
}

/** Names of schedules that other libraries have given them. */
const SYNONYMS: Record<string, ScheduleName> = { you: 'quintic', dion: 'quintic' };

/** A schedule by a spelling such as `polar_express` or `deepseekv4`. */
function scheduleNamed(name: string): ScheduleName {
  const plain = (text: string) => text.toLowerCase().replaceAll(/[-_]/g, '');
  const found = (Object.keys(SCHEDULES) as ScheduleName[]).find(
    (key) => plain(key) === plain(name),
  );
  if (!found && Object.hasOwn(SYNONYMS, name)) return SYNONYMS[name]!;
  if (!found) throw new Error(`no schedule is called ${name}`);
  return found;
}

const epsilonModes = { add: 'add', clamp: 'clamp', max: 'clamp' } as const;

/** `X<steps>_<input>` */
const muonQuintic: Adapter = (context) => {
  const { coefficients, eps, epsMode = 'add' } = context.params;
  return each(context, (name) => {
    const [kind, x] = splitInput(context, name, 'G_');
    return orthogonalize(x, {
      coefficients: [coefficients],
      steps: Number(match(kind, /^X(?<steps>\d+)$/).steps),
      // The author's loop is the standard form.
      form: 'standard',
      epsilon: eps,
      epsilonMode: epsilonModes[epsMode as keyof typeof epsilonModes],
    });
  });
};

/** `pe_…`, `cans<degree>_…`, `remez5_…`, `map_<preset>` */
const coefficients: Adapter = (context) =>
  each(context, async (name) => {
    const value = (key: string) => {
      const found = new RegExp(`_${key}(?<value>[\\d.]+(e[-+]?\\d+)?)`).exec(name)?.groups?.value;
      return found === undefined ? undefined : Number(found);
    };
    const lower = value('l');
    const steps = value('n');
    if (name.startsWith('pe_')) {
      const options = { lower, steps, safety: value('s'), cushion: value('c') };
      return polarExpressCoefficients(options).flat();
    }
    if (name.startsWith('cans')) {
      const degree = Number(match(name, /^cans(?<degree>[35])_/).degree) as 3 | 5;
      return cansCoefficients({ lower, steps, degree }).flat();
    }
    if (name.startsWith('remez5_')) return oddMinimaxQuintic(lower!, value('u') ?? 1);
    const { preset, percent = '0' } = match(name, /^map_(?<preset>.+?)(_s(?<percent>[\d.]+))?$/);
    // In float64: near 1 the composed maps amplify float32's rounding ten thousandfold.
    const sigma = Array.from(await context.inputs.sigma!.data(), (s) => s / (1 + +percent / 100));
    const table = context.params[preset!] ?? SCHEDULES[scheduleNamed(preset!)].coefficients;
    return mapSingularValues(table, sigma);
  });

/** `X_<preset>_<input>`, `best_restarts_<preset>_<count>`, `stability_<preset>_single_restart_<i>to<j>` */
const presetsGram: Adapter = (context) => {
  const { params } = context;
  const named = (preset: string) =>
    /^pe\d+$/.test(preset) ? 'polarExpress' : scheduleNamed(preset);
  const rows = (preset: string): readonly CoefficientRow[] =>
    params[preset] ?? SCHEDULES[named(preset)].coefficients;
  const schedule = (preset: string): OrthogonalizeOptions => {
    const shared = { epsilon: params.eps?.[preset] ?? 1e-7, epsilonMode: 'add' as const };
    const table = params[preset];
    if (table) return { ...shared, coefficients: table };
    const percent = /^pe(?<percent>\d+)$/.exec(preset)?.groups?.percent;
    const safety = params[`${preset}_norm_factor`] ?? (percent && Number(percent) / 100);
    return { ...shared, method: named(preset), ...(safety && { safety }) };
  };
  return each(context, (name) => {
    if (name.startsWith('best_restarts_')) {
      const { preset, count } = match(name, /^best_restarts_(?<preset>.+)_(?<count>\d+)$/);
      return bestRestarts(rows(preset!), Number(count));
    }
    if (name.startsWith('stability_')) {
      const { preset, from, to } = match(
        name,
        /^stability_(?<preset>.+)_single_restart_(?<from>\d+)to(?<to>\d+)$/,
      );
      const positions = Array.from({ length: +to! - +from! + 1 }, (_, i) => +from! + i);
      return positions.map((position) => restartStability(rows(preset!), [position]));
    }
    const [kind, x] = splitInput(context, name, 'G_');
    const options = schedule(match(kind, /^X_(?<preset>.+)$/).preset!);
    return orthogonalize(x, { ...options, form: 'gram' });
  });
};

/** Almost-orthogonal and Schatten-4 starts, polar factors, error metrics, gradients of `sum(W * f(G))`. */
const aolPolarMetrics: Adapter = (context) => {
  const { params, inputs } = context;
  const eps = { epsilon: 1e-7, epsilonMode: 'add' as const };
  /** A table of rows, or one row whose name ends with the number of steps. */
  const rows = (table: string): OrthogonalizeOptions => {
    const value = params[table];
    if (!Array.isArray(value)) throw new Error(`params hold no table ${table}`);
    if (Array.isArray(value[0])) return { coefficients: value };
    return { coefficients: [value], steps: Number(/\d+$/.exec(table)?.[0]) };
  };
  const short = (f: (gram: Tensor) => Tensor, x: Tensor) =>
    tidy(() => squeeze(f(shortGram(expandDims(x, 0)))));
  const muon = Object.keys(params).find((key) => /^muon\d+$/.test(key)) ?? 'muon5';
  const weights = (x: Tensor, name: string) => {
    const key = Object.keys(inputs).find((input) => inputs[input] === x);
    const W = inputs[`W_${key}`];
    if (!W) throw new Error(`${name} needs the input W_${key}`);
    return W;
  };
  const gradient = (f: (x: Tensor) => Tensor, x: Tensor, W: Tensor) =>
    grad((g: Tensor) => sum(mul(W, f(g))))(x);
  return each(context, async (name) => {
    const [kind, x] = splitInput(context, name);
    if (kind === 'aol_scale') return tidy(() => reshape(short(aolScale, x), [-1]));
    if (kind === 'schatten4_norm') return short((gram) => schatten4(gram), x);
    if (kind === 'polar') return (await exactPolarAsync(x)).value;
    if (kind === 'grad_polar') {
      const W = weights(x, name);
      if (getBackend() !== 'webgpu') return gradient(exactPolar, x, W);
      // WebGPU in Node cannot be read synchronously.
      const exact = await exactPolarAsync(x);
      exact.value.dispose();
      return exact.gradient(W);
    }
    if (kind.startsWith('grad_ns')) {
      const steps = Number(match(kind, /^grad_ns(?<steps>\d+)$/).steps);
      return gradient(
        (g) => orthogonalize(g, { ...rows(muon), ...eps, steps }),
        x,
        weights(x, name),
      );
    }
    if (kind.endsWith('_error')) {
      const q = orthogonalize(x, { ...rows(muon), ...eps });
      const { value: reference } = await exactPolarAsync(x);
      try {
        if (kind === 'ortho_error') return orthogonalityError(q);
        if (kind === 'polar_error') return polarError(q, reference);
        if (kind === 'spectral_error') return await spectralError(q);
      } finally {
        q.dispose();
        reference.dispose();
      }
    }
    const table = match(kind, /^X_(?<table>.+)$/).table!;
    if (table in params) return orthogonalize(x, { ...rows(table), normalization: 'aol' });
    const { start, rest } = match(table, /^(?<start>aol|schatten)_(?<rest>.+)$/);
    const normalization = start === 'aol' ? 'aol' : 'schatten4';
    return orthogonalize(x, { ...rows(rest!), normalization });
  });
};

export const adapters: Record<string, Adapter> = {
  'newton-schulz/core/muon-quintic': muonQuintic,
  'newton-schulz/core/coefficients': coefficients,
  'newton-schulz/core/presets-gram': presetsGram,
  'newton-schulz/core/aol-polar-metrics': aolPolarMetrics,
};
