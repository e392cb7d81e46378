/** Adapters of `operators/spectral-refiner`: what an op's inputs, parameters and outputs mean to our functions. */
import {
  bochnerNorm,
  gaussianRandomField,
  mcwilliamsVorticity,
  NavierStokes2D,
  type OutputLayer,
  relativeError,
  residual,
  STFNO,
  type Stepper,
  sobolevNorm,
  spectralConv,
  spectralOutput,
  type TimeScheme,
  widenModes,
} from '@orth/operators';
import type { Adapter, AdapterContext } from '@orth/testing';
import {
  concat,
  div,
  grads as gradsOf,
  mean,
  mul,
  reshape,
  type Scalar,
  slice,
  square,
  sub,
  sum,
  type Tensor,
  tensor,
  tidy,
  transpose,
  variableGrads,
} from '@tensorflow/tfjs-core';

type Inputs = AdapterContext['inputs'];

/** Time last, as the fixtures have trajectories, to time before space. */
const framesFirst = (x: Tensor) => {
  const r = x.rank;
  const lead = Array.from({ length: r - 3 }, (_, i) => i);
  return transpose(x, [...lead, r - 1, r - 3, r - 2]);
};

/** Four blocks `[ci, co, mx, my, mt, 2]`, index ix + 2·iy, to our one weight. */
export function joinWeights(blocks: readonly Tensor[]): Tensor {
  return tidy(() => {
    const [a, b, c, d] = blocks as [Tensor, Tensor, Tensor, Tensor];
    const whole = concat([concat([a, b], 2), concat([c, d], 2)], 3);
    return transpose(whole, [5, 4, 3, 2, 1, 0]);
  });
}

/** Inverse of {@link joinWeights} for one block. */
export function blockOfWeight(weight: Tensor, index: number): Tensor {
  return tidy(() => {
    const [, mt, ky, kx, co, ci] = weight.shape as [number, number, number, number, number, number];
    const at = [0, 0, (Math.floor(index / 2) * ky) / 2, ((index % 2) * kx) / 2, 0, 0];
    return transpose(slice(weight, at, [2, mt, ky / 2, kx / 2, co, ci]), [5, 4, 3, 2, 1, 0]);
  });
}

export function joinBiases(blocks: readonly Tensor[]): Tensor {
  return tidy(() => {
    const [a, b, c, d] = blocks as [Tensor, Tensor, Tensor, Tensor];
    const whole = concat([concat([a, b], 0), concat([c, d], 0)], 1);
    return transpose(whole, [3, 2, 1, 0]);
  });
}

export function blockOfBias(bias: Tensor, index: number): Tensor {
  return tidy(() => {
    const [, mt, ky, kx] = bias.shape as [number, number, number, number];
    const at = [0, 0, (Math.floor(index / 2) * ky) / 2, ((index % 2) * kx) / 2];
    return transpose(slice(bias, at, [2, mt, ky / 2, kx / 2]), [3, 2, 1, 0]);
  });
}

const four = (inputs: Inputs, name: string) => [0, 1, 2, 3].map((i) => inputs[`${name}${i}`]!);

const spectralConvAdapter: Adapter = ({ inputs, params, wanted }) =>
  tidy(() => {
    const { outSteps, temporalPadding = false, delta = 1 } = params;
    const v = inputs.v!;
    const weight = joinWeights(four(inputs, 'weight'));
    const bias = inputs.bias0 ? joinBiases(four(inputs, 'bias')) : undefined;
    const temporal = (x: Tensor, w: Tensor, b?: Tensor) =>
      spectralConv(x, w, { ...(b && { bias: b, biasScale: delta }), outSteps, temporalPadding });
    const results: Record<string, Tensor> = {
      spatial: spectralConv(v, weight, bias ? { bias, biasScale: delta } : {}),
      temporal: temporal(v, weight, bias),
    };
    if (!wanted.some((name) => name.startsWith('grad_'))) return results;
    const f = (...[x, w, b]: Tensor[]) => sum(square(temporal(x!, w!, b))) as Scalar;
    const [dv, dw, db] = gradsOf(f)([v, weight, ...(bias ? [bias] : [])]);
    results.grad_v = dv!;
    for (const i of [0, 1, 2, 3]) {
      results[`grad_weight${i}`] = blockOfWeight(dw!, i);
      if (db) results[`grad_bias${i}`] = blockOfBias(db, i);
    }
    return results;
  });

const initialConditions: Adapter = async ({ inputs, params }) => {
  const { n, diam, peakWavenumber, alpha, tau } = params;
  const { noise, complexNoise } = inputs;
  return {
    ...(noise && {
      mcwilliams: tensor(
        Float32Array.from(
          mcwilliamsVorticity({ n, diam, peakWavenumber, noise: await noise.data() }),
        ),
        [n, n],
      ),
    }),
    ...(complexNoise && {
      grf: tensor(
        Float32Array.from(gaussianRandomField({ n, alpha, tau, noise: await complexNoise.data() })),
        [n, n],
      ),
    }),
  };
};

async function solverOf(
  { inputs, params }: AdapterContext,
  stepper: Stepper,
): Promise<NavierStokes2D> {
  const { n, diam, viscosity, drag = 0 } = params;
  const { mask, forcing } = inputs;
  return new NavierStokes2D({
    n,
    diam,
    viscosity,
    drag,
    stepper,
    dealias: mask ? await mask.data() : '2/3',
    ...(forcing && { forcing }),
  });
}

const solve: Adapter = async (context) => {
  const { inputs, params } = context;
  const { dt, snapshots, diam } = params as { dt: number; snapshots: number[]; diam: number };
  const solver = await solverOf(context, params.stepper ?? 'rk4-cn');
  const w0 = inputs.w0!;
  const results: Record<string, Tensor> = tidy(() => {
    const { u, v } = solver.velocity(w0);
    return {
      u0: u,
      v0: v,
      psi0_over_diam2_x100: mul(solver.streamFunction(w0), 100 / diam ** 2),
      explicit0: solver.explicitTerm(w0),
    };
  });
  let [state, at] = [w0.clone() as Tensor, 0];
  for (const snapshot of [...snapshots].sort((p, q) => p - q)) {
    const steps = snapshot - at;
    const { w, dwdt } = await solver.solve(state, { dt, steps });
    state.dispose();
    results.dwdt_last?.dispose();
    state = tidy(() => reshape(w, w0.shape));
    results.dwdt_last = tidy(() => reshape(dwdt, w0.shape));
    results[`w_${snapshot}`] = state.clone();
    w.dispose();
    dwdt.dispose();
    at = snapshot;
  }
  results.enstrophy_last = solver.enstrophy(state);
  results.energy_last = solver.energy(state);
  state.dispose();
  solver.dispose();
  return results;
};

const imexStep: Adapter = async (context) => {
  const solver = await solverOf(context, 'imex-cn');
  const w = context.inputs.w!;
  const { dt } = context.params;
  const results = tidy(() => {
    const wNext = solver.step(w, dt);
    const dwdt = div(sub(wNext, w), dt);
    return {
      wNext,
      dwdt,
      psi: solver.streamFunction(w),
      residualOld: sub(dwdt, solver.tendency(w)),
      residualNew: sub(dwdt, solver.tendency(wNext)),
    };
  });
  solver.dispose();
  return results;
};

const residualAdapter: Adapter = ({ inputs, params, wanted }) =>
  tidy(() => {
    const { diam, viscosity, drag = 0, dt, alpha } = params;
    const { window, forcing } = inputs;
    const orders: Record<string, number> = { m1: -1, 0: 0, 1: 1, m2: -2, 2: 2, mhalf: -0.5 };
    const results: Record<string, Tensor> = {};
    const run = (x: Tensor, scheme: string, order = -1) =>
      residual(x, {
        window: window!,
        diam,
        viscosity,
        drag,
        dt,
        alpha,
        order,
        scheme: scheme as TimeScheme,
        ...(forcing && { forcing }),
      });
    for (const name of wanted) {
      const parts = name.split('_');
      const prediction = inputs[parts.at(-1)!]!;
      if (parts[0] === 'residual') results[name] = run(prediction, parts[1]!).field;
      if (parts[0] === 'eta') results[name] = run(prediction, parts[2]!, orders[parts[1]!]).eta;
      if (parts[0] === 'grad') {
        const order = parts.length > 4 ? orders[parts[2]!] : -1;
        const f = (x: Tensor) => sum(square(run(x, parts.at(-2)!, order).eta)) as Scalar;
        [results[name]] = gradsOf(f)([prediction]) as [Tensor];
      }
    }
    return results;
  });

const ORDERS: Record<string, number> = { half: 0.5, mhalf: -0.5 };
const orderOf = (text: string) =>
  ORDERS[text] ?? Number(text.startsWith('m') ? `-${text.slice(1)}` : text);

const sobolev: Adapter = ({ inputs, params, wanted }) =>
  tidy(() => {
    const { n, diam, alpha, dt = 1 } = params;
    const [x, y] = [framesFirst(inputs.x!), inputs.y && framesFirst(inputs.y)];
    const T = x.shape.at(-3)!;
    const results: Record<string, Tensor> = {};
    for (const name of wanted) {
      const [kind, text] = name.split('_') as [string, string];
      const order = orderOf(text);
      if (kind === 'norm') results[name] = sobolevNorm(x, { order, alpha, diam });
      if (kind === 'bochner') results[name] = bochnerNorm(x, { order, alpha, diam, dt });
      if (kind === 'relative') results[name] = relativeError(x, y!, { order, alpha, diam });
      if (kind !== 'authors') continue;
      // Their order 0 is H¹; orders are halved; the relative value is divided by √T.
      const own = { order: order === 0 ? 1 : order / 2, alpha, diam };
      const error = sub(x, y!);
      results[name] = name.endsWith('_rel')
        ? mean(div(relativeError(x, y!, own), Math.sqrt(T)))
        : mean(mul(bochnerNorm(error, { ...own, dt: 1 }), n ** 2 / diam / Math.sqrt(T)));
    }
    return results;
  });

const outConv: Adapter = ({ inputs, params, wanted }) =>
  tidy(() => {
    const { outSteps, delta, extendTo } = params;
    const latent = framesFirst(inputs.latent!);
    const [batch, t, nx, ny] = [latent.shape[0]!, ...latent.shape.slice(2)] as [
      number,
      number,
      number,
      number,
    ];
    const frames = framesFirst(inputs.input!);
    const last = reshape(slice(frames, [0, frames.shape[1]! - 1, 0, 0], [batch, 1, nx, ny]), [
      batch,
      nx,
      ny,
    ]);
    const layer = {
      weight: joinWeights(four(inputs, 'weight')),
      bias: joinBiases(four(inputs, 'bias')),
    };
    const run = (own: OutputLayer) =>
      transpose(
        spectralOutput(reshape(latent, [batch, t, nx, ny]), last, {
          ...own,
          outSteps,
          biasScale: delta,
        }),
        [0, 2, 3, 1],
      );
    const before = run(layer);
    const after = extendTo ? run(widenModes(layer, extendTo)) : before;
    return Object.fromEntries(wanted.map((name) => [name, name === 'before' ? before : after]));
  });

/** Their parameter names to ours. */
function ourName(name: string): string {
  return name
    .replace(/^lifting_operator\.norm\.weight$/, 'lifting/norm/gamma')
    .replace(/^lifting_operator\.norm\.bias$/, 'lifting/norm/beta')
    .replace(/^lifting_operator\.proj\./, 'lifting/projection/')
    .replace(/^lifting_operator\.sconv\.weight\.\d$/, 'lifting/spectral')
    .replace(/^lifting_operator\.mlp\.linear(\d)\./, 'lifting/ffn$1/')
    .replace(/^spectral_conv\.(\d+)\.weight\.\d$/, (_, i) => `block${Number(i) + 1}/spectral`)
    .replace(/^mlp\.(\d+)\.linear(\d)\./, (_, i, j) => `block${Number(i) + 1}/ffn${j}/`)
    .replace(/^w\.(\d+)\./, (_, i) => `block${Number(i) + 1}/skip/`)
    .replace(/^reduction\./, 'reduction/')
    .replace(/^output_operator\.conv\.(weight|bias)\.\d$/, 'output/$1')
    .replace(/^((?!output|block\d+\/spectral|lifting\/spectral).*)\/weight$/, '$1/kernel');
}

function positionalEncoding({
  width,
  inSteps,
  beta,
  maxTimeSteps = 100,
}: AdapterContext['params']) {
  // The encoding at the grid's first point is what the network adds to a zero input there.
  const rows = Array.from({ length: width }, (_, c) =>
    Array.from({ length: inSteps }, (_, i) => {
      const t = (i + 1) / maxTimeSteps;
      if (c < 3) return c === 2 ? t : 0;
      const angle = Math.PI * (c - 2) * t;
      return Math.exp(beta * t) * (c % 2 ? Math.sin(angle) : Math.cos(angle));
    }),
  );
  return tensor(rows.flat(), [width, inSteps]);
}

const sfno: Adapter = ({ inputs, params, wanted }) => {
  const { modes, width, outSteps, latentSteps, spectralLayers, activation, beta, delta } = params;
  const model = new STFNO({
    modes,
    width,
    layers: spectralLayers,
    latentSteps,
    beta,
    delta,
    activation: String(activation).toLowerCase() as 'gelu' | 'relu',
    expansion: params.channelExpansion ?? 4,
    timeScale: params.maxTimeSteps ?? 100,
  });
  const results = tidy(() => {
    const values: Record<string, Tensor> = {};
    for (const [name, x] of Object.entries(inputs)) {
      if (name === 'v') continue;
      const match = /^(.*\.(weight|bias))\.(\d)$/.exec(name);
      if (match && match[3] !== '0') continue;
      const blocks = match ? [0, 1, 2, 3].map((i) => inputs[`${match[1]}.${i}`]!) : [];
      const own = ourName(name);
      if (match) values[own] = match[2] === 'weight' ? joinWeights(blocks) : joinBiases(blocks);
      else values[own] = reshape(x, x.shape.slice(0, 2));
    }
    model.setWeights(values);
    const v = transpose(inputs.v!, [0, 3, 1, 2]);
    const run = () => model.predict(v, { outSteps });
    const latent = transpose(model.latent(v), [0, 2, 3, 1]);
    const result: Record<string, Tensor> = {
      output: transpose(run(), [0, 2, 3, 1]),
      latent: reshape(latent, [latent.shape[0]!, 1, ...latent.shape.slice(1)]),
    };
    if (wanted.includes('positionalEncoding')) {
      result.positionalEncoding = positionalEncoding(params);
    }
    const names = wanted.filter((name) => name.startsWith('grad:'));
    if (names.length === 0) return result;
    const { grads } = variableGrads(
      () => sum(square(run())) as Scalar,
      [...model.weights.values()],
    );
    for (const name of names) {
      const theirs = name.slice('grad:'.length);
      const g = grads[model.weights.get(ourName(theirs))!.name]!;
      const block = /\.(weight|bias)\.(\d)$/.exec(theirs);
      if (!block) result[name] = reshape(g, inputs[theirs]!.shape);
      else if (block[1] === 'weight') result[name] = blockOfWeight(g, Number(block[2]));
      else result[name] = blockOfBias(g, Number(block[2]));
    }
    return result;
  });
  model.dispose();
  return results;
};

export const adapters: Record<string, Adapter> = {
  'operators/spectral-refiner/spectralConv': spectralConvAdapter,
  'operators/spectral-refiner/initialConditions': initialConditions,
  'operators/spectral-refiner/solve': solve,
  'operators/spectral-refiner/imexStep': imexStep,
  'operators/spectral-refiner/residual': residualAdapter,
  'operators/spectral-refiner/sobolevNorm': sobolev,
  'operators/spectral-refiner/outConv': outConv,
  'operators/spectral-refiner/sfno': sfno,
};
