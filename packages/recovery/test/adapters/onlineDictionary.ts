import {
  atomError,
  dictionaryError,
  mspDictionary,
  OnlineOrthogonalDictionary,
} from '@orth/recovery';
import type { Adapter } from '@orth/testing';
import { gather, type Tensor, type Tensor2D } from '@tensorflow/tfjs-core';

/** `min(1, c (t+s)^-a/b), t from 1` as a function; the default where the fixture says nothing. */
function scheduleOf(text: unknown): ((t: number) => number) | undefined {
  if (typeof text === 'number') return () => text;
  if (typeof text !== 'string') return undefined;
  if (/^[\d.]+$/.test(text)) return () => Number(text);
  const match =
    /([\d.]+)\s*([*/]?)\s*\(\s*t\s*\+\s*([\d.]+)\s*\)\s*(?:\^|\*\*)\s*\(?\s*(-?[\d.]+)(?:\s*\/\s*([\d.]+))?/.exec(
      text,
    );
  if (!match) throw new Error(`unknown schedule ${text}`);
  const [, factor, operator, shift, power, root = '1'] = match;
  const exponent = ((operator === '/' ? -1 : 1) * +power!) / +root;
  return (t) => Math.min(1, +factor! * (t + +shift!) ** exponent);
}

const dot = (x: ArrayLike<number>, y: ArrayLike<number>) =>
  Array.from(x).reduce((total, value, i) => total + value * y[i]!, 0);

const trace: Adapter = async ({ inputs, params, wanted }) => {
  const { Y, D0, init } = inputs as Record<string, Tensor>;
  const [steps, n] = Y!.shape as [number, number];
  const rho = scheduleOf(params.rho);
  const gamma = scheduleOf(params.gamma);
  const learner = new OnlineOrthogonalDictionary(n, {
    p: params.p ?? 3,
    polar: 'exact',
    ...(rho && { rho }),
    ...(gamma && { gamma }),
    init: { shape: [n, n], data: await init!.data() },
  });
  const out: Record<string, number[]> = {};
  const push = (name: string, values: ArrayLike<number>) => {
    out[name] = [...(out[name] ?? []), ...Array.from(values)];
  };
  let before = await init!.data();
  for (let t = 0; t < steps; t++) {
    const batch = gather(Y!, t) as Tensor2D;
    const report = await learner.updateAsync(batch);
    batch.dispose();
    const [D, G] = [learner.dictionary({ project: false }), learner.averageGradient()];
    const after = (await D.data()) as Float32Array;
    const gradient = await G.data();
    D.dispose();
    G.dispose();
    const step = report.gamma;
    const S = Array.from(after, (x, i) => (step > 0 ? (x - (1 - step) * before[i]!) / step : 0));
    before = after as typeof before;
    push('D', after);
    push('avgGrad', gradient);
    push('S', S);
    push('gap', [report.gap]);
    push('objective', [report.objective]);
    push('rho', [report.rho]);
    // A gradient of zeros skips the step, not the schedule.
    push('gamma', [(gamma ?? ((k: number) => Math.min(1, 2 * (k + 2) ** -0.75)))(report.step)]);
    push('nuclearNorm', [-dot(S, gradient)]);
  }
  const final = learner.dictionary();
  out.finalOrthogonal = Array.from(await final.data());
  for (const name of wanted) {
    const error = /^errorP(\d)$/.exec(name);
    const options = { p: Number(error?.[1]) };
    if (error) out[name] = [await dictionaryError(final, D0 as Tensor2D, options)];
    if (name === 'atomError' || name === 'maxCorr') {
      out[name] = [await atomError(final, D0 as Tensor2D)];
    }
  }
  final.dispose();
  learner.dispose();
  return out;
};

const metrics: Adapter = async ({ inputs, wanted }) => {
  const out: Record<string, number> = {};
  for (const name of wanted) {
    const [, which, p] = /^(.+)_(?:p(\d+)|maxCorr)$/.exec(name)!;
    const [D, D0] = [inputs[which!] as Tensor2D, inputs.D0 as Tensor2D];
    out[name] = p ? await dictionaryError(D, D0, { p: +p }) : await atomError(D, D0);
  }
  return out;
};

const msp: Adapter = async ({ fixture, inputs, params }) => {
  const iterations = fixture.outputs.D?.shape[0] ?? fixture.outputs.objective!.shape[0]!;
  const after: Tensor2D[] = [];
  const { D, objectives } = await mspDictionary(inputs.Y as Tensor2D, {
    p: params.p ?? 4,
    iterations,
    tolerance: 0,
    init: inputs.init as Tensor2D,
    onStep: ({ iteration, D: now }) => {
      if (iteration > 0) after.push(now.clone());
    },
  });
  after.push(D);
  const values = await Promise.all(after.map((x) => x.data()));
  for (const x of after) x.dispose();
  return { D: values.flatMap((x) => Array.from(x)), objective: [...objectives] };
};

export const adapters: Record<string, Adapter> = {
  'recovery/online-odl/trace': trace,
  'recovery/online-odl/metrics': metrics,
  'recovery/online-odl/msp': msp,
};
