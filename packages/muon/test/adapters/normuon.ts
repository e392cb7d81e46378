import { type AssignmentScheme, Muon, NorMuon, planOrthogonalization } from '@orth/muon';
import type { Adapter } from '@orth/testing';
import { norm, type Tensor } from '@tensorflow/tfjs-core';
import {
  anyOf,
  groupBy,
  isAlias,
  lastDirection,
  layoutOf,
  matrices,
  orthogonalizationOf,
  type Params,
  runSteps,
  slotsOf,
  withPrefix,
} from './shared.js';

const VARIANTS: Record<string, object> = {
  '': {},
  paper: { scaling: 'paper' },
  longaxis: { axis: 'long' },
};

function muonOptions(params: Params) {
  const { learningRate = 0.02, weightDecay = 0, momentum = 0.95, nesterov = true } = params;
  return {
    learningRate,
    weightDecay,
    momentum,
    nesterov,
    layout: layoutOf(params.layout),
    orthogonalization: orthogonalizationOf(params),
  };
}

function norMuonOptions(params: Params, variant: string) {
  const own = VARIANTS[variant];
  if (!own) throw new Error(`unknown variant ${variant}`);
  const { beta2 = 0.95, eps } = params;
  return {
    ...muonOptions(params),
    beta2,
    ...(eps !== undefined && variant !== 'paper' && { epsilon: eps }),
    ...own,
    groups: [{ match: matrices, optimizer: 'norMuon' as const }],
  };
}

/**
 * `p<t>_<param>[_paper|_longaxis]`, `momentum_<param>`, `second_momentum_<param>`, and `last_update_row_norms_<param>` and
 * `last_muon_row_norms_<param>` of the last direction.
 */
const steps: Adapter = async ({ fixture, inputs, params, wanted }) => {
  const start = withPrefix('p_', inputs);
  const gradients = withPrefix('g_', inputs);
  const names = anyOf(Object.keys(start));
  const total: number = params.steps ?? Object.values(gradients)[0]!.shape[0];
  const outputs: Record<string, Tensor | ArrayLike<number>> = {};
  const weights: { output: string; name: string; variant: string; step: number }[] = [];
  for (const output of wanted) {
    const match = new RegExp(`^(?:p(\\d+)|(.+))_(${names})(?:_(.+))?$`).exec(output);
    if (!match) throw new Error(`unknown output ${output}`);
    const [, at, kind, name, variant = ''] = match as unknown as [string, string, string, string];
    if (at !== undefined) {
      const final = `p${total}_${name}${variant && `_${variant}`}`;
      const step = isAlias(fixture, output, final) ? total : Number(at);
      weights.push({ output, name, variant, step });
    } else if (kind === 'momentum' || kind === 'second_momentum') {
      const optimizer = new NorMuon(norMuonOptions(params, variant));
      await runSteps(optimizer, start[name]!, gradients[name]!, total, async (step) => {
        if (step < total) return;
        const { momentum, neuronMoment } = await slotsOf(optimizer);
        outputs[output] = (kind === 'momentum' ? momentum : neuronMoment)!.data;
      });
    } else if (kind === 'last_update_row_norms' || kind === 'last_muon_row_norms') {
      const plain = { learningRate: 1, weightDecay: 0 };
      const optimizer =
        kind === 'last_muon_row_norms'
          ? new Muon({
              ...muonOptions(params),
              ...plain,
              groups: [{ match: matrices, optimizer: 'muon' }],
            })
          : new NorMuon({ ...norMuonOptions(params, variant), ...plain });
      const direction = await lastDirection(optimizer, start[name]!, gradients[name]!, total);
      outputs[output] = norm(direction, 'euclidean', 1);
      direction.dispose();
    } else throw new Error(`unknown output ${output}`);
  }
  for (const group of groupBy(weights, ({ name, variant }) => `${name} ${variant}`)) {
    const { name, variant } = group[0]!;
    const optimizer = new NorMuon(norMuonOptions(params, variant));
    const last = Math.max(...group.map(({ step }) => step));
    await runSteps(optimizer, start[name]!, gradients[name]!, last, (step, w) => {
      for (const { output } of group.filter((item) => item.step === step)) {
        outputs[output] = w.clone();
      }
    });
  }
  return outputs;
};

const SCHEMES: Record<string, AssignmentScheme> = {
  round_robin: 'roundRobin',
  megabatch: 'megaBatch',
  lpt: 'longestFirst',
};

/** `owner_<scheme>`, `order_<scheme>`, `load_<scheme>`. */
const assignment: Adapter = async ({ inputs, params, wanted }) => {
  const flat = await inputs.shapes!.data();
  const shapes = Array.from(
    { length: flat.length / 2 },
    (_, i) => [flat[2 * i]!, flat[2 * i + 1]!] as const,
  );
  return Object.fromEntries(
    wanted.map((output) => {
      const [, field, scheme] = /^(owner|order|load)_(.+)$/.exec(output)!;
      const plan = planOrthogonalization(shapes, params.world, SCHEMES[scheme!]);
      return [output, plan[field as keyof typeof plan]];
    }),
  );
};

export const adapters: Record<string, Adapter> = {
  'muon/normuon/steps': steps,
  'muon/normuon/assignment': assignment,
};
