import { AuON, coshRms, HybridAuON } from '@orth/muon';
import type { Adapter } from '@orth/testing';
import type { Tensor } from '@tensorflow/tfjs-core';
import {
  anyOf,
  groupBy,
  isAlias,
  layoutOf,
  matrices,
  orthogonalizationOf,
  type Params,
  runSteps,
  withPrefix,
} from './shared.js';

/** `rms_cosh_<input>_gamma<γ>` */
const scale: Adapter = ({ inputs, wanted }) =>
  Object.fromEntries(
    wanted.map((output) => {
      const match = /^rms_cosh_(.+)_gamma(.+)$/.exec(output);
      if (!match) throw new Error(`unknown output ${output}`);
      return [output, coshRms(inputs[`U_${match[1]}`]!, Number(match[2]))];
    }),
  );

/** `paper`, `repo`, and `<either>_hybrid<steps>`. */
function optimizerOf(name: string, params: Params) {
  const match = /^(paper|repo)(?:_hybrid(\d+))?$/.exec(name);
  if (!match) throw new Error(`unknown variant ${name}`);
  const paper = match[1] === 'paper';
  const hybridSteps = Number(match[2] ?? 0);
  const { learningRate, momentum = 0.95, nesterov = true, gamma = {} } = params;
  const own: number | undefined = typeof gamma === 'number' ? gamma : gamma[match[1]!];
  const options = {
    learningRate,
    momentum,
    nesterov,
    layout: layoutOf(params.layout),
    variant: paper ? ('paper' as const) : ('repository' as const),
    weightDecay: paper ? 0 : (params.weightDecay ?? 0),
    ...(own !== undefined && { gamma: own }),
  };
  if (hybridSteps === 0) {
    return new AuON({ ...options, groups: [{ match: matrices, optimizer: 'auON' }] });
  }
  const groups = [{ match: matrices, optimizer: 'hybridAuON' as const }];
  return new HybridAuON({
    ...options,
    hybridSteps,
    orthogonalization: orthogonalizationOf(params),
    groups,
  });
}

/** `p<t>_<param>_<variant>` */
const steps: Adapter = async ({ fixture, inputs, params, wanted }) => {
  const start = withPrefix('p_', inputs);
  const gradients = withPrefix('g_', inputs);
  const names = anyOf(Object.keys(start));
  const total: number = params.steps ?? Object.values(gradients)[0]!.shape[0];
  const parsed = wanted.map((output) => {
    const match = new RegExp(`^p(\\d+)_(${names})_(.+)$`).exec(output);
    if (!match) throw new Error(`unknown output ${output}`);
    const [, at, name, variant] = match as unknown as [string, string, string, string];
    const alias = isAlias(fixture, output, `p${total}_${name}_${variant}`);
    return { output, name, variant, step: alias ? total : Number(at) };
  });
  const outputs: Record<string, Tensor> = {};
  for (const group of groupBy(parsed, ({ name, variant }) => `${name} ${variant}`)) {
    const { name, variant } = group[0]!;
    const last = Math.max(...group.map(({ step }) => step));
    const optimizer = optimizerOf(variant, params);
    await runSteps(optimizer, start[name]!, gradients[name]!, last, (step, w) => {
      for (const { output } of group.filter((item) => item.step === step)) {
        outputs[output] = w.clone();
      }
    });
  }
  return outputs;
};

export const adapters: Record<string, Adapter> = {
  'muon/auon/scale': scale,
  'muon/auon/steps': steps,
};
