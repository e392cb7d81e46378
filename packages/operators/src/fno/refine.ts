/**
 * Fine-tuning of a prediction without ground truth: the trunk is frozen, the output layer is widened to all frequencies, and
 * the residual of the equation in a negative Sobolev norm is minimised, for each trajectory by itself.
 */
import {
  checkInteger,
  checkNumber,
  checkOneOf,
  checkOptions,
  checkTensor,
  NonFiniteError,
  type Random,
  seededRandom,
} from '@orth/backend';
import {
  add,
  broadcastTo,
  keep,
  mul,
  reshape,
  type Scalar,
  slice,
  sqrt,
  stack,
  sub,
  sum,
  type Tensor,
  tensor,
  tensor1d,
  tidy,
  transpose,
  type Variable,
  variable,
  variableGrads,
} from '@tensorflow/tfjs-core';
import {
  checkFrames,
  joinFrames,
  RESIDUAL_OPTIONS,
  type ResidualMeasure,
  ResidualOperator,
  type ResidualPhysics,
} from '../navierStokes/residual.js';
import { checkModes, type Modes, partOf } from '../spectral/spectralConv.js';
import { Adam } from './adam.js';
import { modesOf, outputFrames, outputSpectrum, widenModes } from './outputOperator.js';
import type { STFNO } from './stfno.js';

/** Options of {@link refine}. */
export interface RefineOptions extends ResidualPhysics, ResidualMeasure {
  /** Frames to predict. Default as many as the input has */
  readonly outSteps?: number;
  /** Frequencies of the widened layer. Default ⌊n/2⌋ along x and y, one more than the network's along t */
  readonly modes?: Modes;
  /** Default 300 */
  readonly iterations?: number;
  /** Adam's rate for the layer's weights. Default 1e-3 */
  readonly weightLearningRate?: number;
  /** Adam's rate for the layer's bias, a correction of unnormalised coefficients scaled by delta. Default 10 */
  readonly biasLearningRate?: number;
  /** Ends when every trajectory's η is at most this. Default 0 */
  readonly tolerance?: number;
  /** Ends after so many iterations without a trajectory whose η fell by a thousandth of itself. Default 50 */
  readonly patience?: number;
  /**
   * `'picard'`: the advecting velocity is frozen and renewed every `picardSteps` iterations, so that each problem is convex
   * and quadratic. Default `'none'`
   */
  readonly linearize?: 'none' | 'picard';
  /** Default 20 */
  readonly picardSteps?: number;
  /** Of the new coefficients' tiny initial values; integer. Default 0 */
  readonly seed?: number;
  /** Called after each iteration with η of every trajectory. */
  readonly onStep?: (step: { readonly step: number; readonly eta: readonly number[] }) => void;
  /** Stops early; the best so far is returned. */
  readonly signal?: AbortSignal;
}

/** What {@link refine} gives; {@link dispose} frees its tensors. */
export interface Refinement {
  /** The refined frames with the least η that was met, `[batch, outSteps, n, n]`. */
  readonly prediction: Tensor;
  /** η of each trajectory before. */
  readonly eta0: readonly number[];
  /** η of each trajectory after; never above `eta0`. */
  readonly eta: readonly number[];
  /** ‖r_j‖ before, by trajectory and frame. */
  readonly perFrame0: readonly (readonly number[])[];
  /** ‖r_j‖ after. */
  readonly perFrame: readonly (readonly number[])[];
  /** η by iteration and trajectory; the first row is `eta0`. */
  readonly history: readonly (readonly number[])[];
  readonly iterations: number;
  /** Why it ended. */
  readonly stopped: 'iterations' | 'tolerance' | 'stalled' | 'aborted';
  /** Frees `prediction`. */
  dispose(): void;
}

const OPTIONS = [
  ...RESIDUAL_OPTIONS,
  'outSteps',
  'modes',
  'iterations',
  'weightLearningRate',
  'biasLearningRate',
  'tolerance',
  'patience',
  'linearize',
  'picardSteps',
  'seed',
  'onStep',
  'signal',
];

/** Least share by which η must fall to count as progress. */
const PROGRESS = 1e-3;

/**
 * Refines predictions of a vorticity network by the a-posteriori residual; the network is not changed.
 *
 * Trajectories of a batch are refined side by side, each with an output layer of its own.
 *
 * @param model - with one channel
 * @param input - known frames, `[batch, t, n, n]`, as many as the scheme and the network need, or more
 * @param options - the equation (`dt`, `viscosity`, …), the measure, and how to minimise
 * @returns a promise, since η is read back in each iteration
 * @throws TypeError or RangeError for bad arguments; NonFiniteError if η stops being finite
 * @example
 * const refined = await refine(model, known, { dt: 0.05, viscosity: 0.01 });
 * @see Cao et al. 2025, arXiv:2405.17211; the residual is `residual`'s
 */
export async function refine(
  model: STFNO,
  input: Tensor,
  options: RefineOptions,
): Promise<Refinement> {
  const setting = resolve(model, input, options);
  const state = new RefinementState(model, input, setting);
  try {
    return await state.run();
  } finally {
    state.dispose();
  }
}

interface Setting {
  readonly physics: ResidualPhysics & ResidualMeasure;
  readonly outSteps: number;
  readonly modes: Modes;
  readonly iterations: number;
  readonly rates: readonly [number, number];
  readonly tolerance: number;
  readonly patience: number;
  readonly picardSteps: number | undefined;
  readonly seed: number;
  readonly onStep: RefineOptions['onStep'];
  readonly signal: AbortSignal | undefined;
}

function resolve(model: STFNO, input: Tensor, options: RefineOptions): Setting {
  const caller = 'refine';
  checkOptions(caller, options, OPTIONS);
  const { outSteps, modes, iterations = 300, tolerance = 0, patience = 50, ...others } = options;
  const { weightLearningRate = 1e-3, biasLearningRate = 10, linearize = 'none', ...more } = others;
  const { picardSteps = 20, seed = 0, onStep, signal, ...physics } = more;
  if (model.config.channels !== 1) {
    throw new RangeError(`${caller}: model must predict one channel, got ${model.config.channels}`);
  }
  checkTensor(caller, 'input', input, { rank: 4 });
  const [, t, n] = input.shape as [number, number, number];
  const [mx, my, mt] = model.config.modes;
  const latentFrames = 2 * (model.config.latentSteps + 1);
  const most = Math.floor(n / 2);
  const wide = modes ?? [most, most, Math.min(mt + 1, latentFrames / 2 + 1)];
  [mx, my, mt].forEach((m, axis) => {
    checkInteger(caller, 'modes', wide[axis], { min: m });
  });
  checkModes(caller, wide, [n, n, latentFrames]);
  const frames = outSteps ?? t;
  checkInteger(caller, 'outSteps', frames, { min: 1 });
  checkInteger(caller, 'iterations', iterations, { min: 0 });
  checkNumber(caller, 'weightLearningRate', weightLearningRate, { min: 0 });
  checkNumber(caller, 'biasLearningRate', biasLearningRate, { min: 0 });
  checkNumber(caller, 'tolerance', tolerance, { min: 0 });
  checkInteger(caller, 'patience', patience, { min: 1 });
  checkOneOf(caller, 'linearize', linearize, ['none', 'picard']);
  checkInteger(caller, 'picardSteps', picardSteps, { min: 1 });
  checkInteger(caller, 'seed', seed);
  const scheme = physics.scheme ?? 'central4';
  checkOneOf(caller, 'scheme', scheme, ['central4', 'bdf1', 'bdf2', 'bdf3', 'bdf4']);
  checkFrames(caller, scheme, t, frames);
  return {
    physics,
    outSteps: frames,
    modes: wide,
    iterations,
    rates: [weightLearningRate, biasLearningRate],
    tolerance,
    patience,
    picardSteps: linearize === 'picard' ? picardSteps : undefined,
    seed,
    onStep,
    signal,
  };
}

/** A weight for each trajectory: entries copied along a new last axis. */
function perTrajectory(x: Tensor, batch: number): Tensor {
  const shape = x.shape.slice(0, 4);
  return broadcastTo(reshape(x, [...shape, 1]), [...shape, batch]);
}

class RefinementState {
  private readonly operator: ResidualOperator;
  private readonly layer: readonly [weight: Variable, bias: Variable];
  private readonly adam: Adam;
  /** Everything else that lives through the iterations. */
  private readonly held: Tensor[] = [];
  /** Parts of the spectrum of [last frame, latent], `[m_t, 2m_y, 2m_x, batch]`. */
  private readonly re: Tensor;
  private readonly im: Tensor;
  /** `[1, batch, n, n, 1]` */
  private readonly last: Tensor;
  private readonly batch: number;
  private velocity: { u: Tensor; v: Tensor } | undefined;

  constructor(
    private readonly model: STFNO,
    private readonly input: Tensor,
    private readonly setting: Setting,
  ) {
    const { modes, physics } = setting;
    const [batch, t, n] = input.shape as [number, number, number];
    this.batch = batch;
    // The operator checks the physics before anything is kept.
    this.operator = new ResidualOperator('refine', n, physics);
    this.operator.keep();
    const made = tidy(() => {
      const known = reshape(slice(input, [0, t - 1, 0, 0], [batch, 1, n, n]), [1, batch, n, n, 1]);
      const latent = transpose(model.latent(input), [0, 2, 3, 1]);
      const own = reshape(latent, [1, batch, n, n, latent.shape[3]!]);
      // [1, batch, m_t, 2m_y, 2, 2m_x] → [2, m_t, 2m_y, 2m_x, batch]
      const spectrum = outputSpectrum(own, known, modes);
      const parts = transpose(reshape(spectrum, spectrum.shape.slice(1)), [3, 1, 2, 4, 0]);
      const layer = {
        weight: model.weights.get('output/weight')! as Tensor,
        bias: model.weights.get('output/bias')! as Tensor,
      };
      const wide = widenModes(layer, modes);
      const noise = this.smallNumbers(layer.weight, wide.weight.shape, seededRandom(setting.seed));
      return {
        known,
        re: half(parts, 0),
        im: half(parts, 1),
        weight: perTrajectory(add(wide.weight, noise), batch),
        bias: perTrajectory(wide.bias, batch),
      };
    });
    this.last = this.hold(made.known);
    this.re = this.hold(made.re);
    this.im = this.hold(made.im);
    this.layer = [variable(made.weight), variable(made.bias)];
    for (const x of [made.weight, made.bias]) x.dispose();
    this.adam = new Adam(this.layer);
  }

  async run(): Promise<Refinement> {
    const { iterations, tolerance, patience, rates, picardSteps, onStep, signal } = this.setting;
    const history: number[][] = [];
    let best = this.hold(this.prediction());
    let least: number[] = [];
    let stalled = 0;
    let made = 0;
    let stopped: Refinement['stopped'] = 'iterations';
    const perFrame0 = await this.frameNorms(best);
    for (;;) {
      if (picardSteps && made % picardSteps === 0) this.freezeVelocity();
      const { etas, gradients, prediction } = this.evaluate();
      const eta = Array.from(await etas.data());
      etas.dispose();
      const finite = eta.every(Number.isFinite);
      const better = eta.map((x, i) => least[i] === undefined || x < least[i]!);
      const progress = eta.some((x, i) => !(x >= (1 - PROGRESS) * (least[i] ?? Infinity)));
      if (finite && better.some(Boolean)) {
        const next = this.hold(tidy(() => choose(better, prediction, best)));
        this.release(best);
        best = next;
        least = eta.map((x, i) => (better[i] ? x : least[i]!));
      }
      prediction.dispose();
      const end = () => {
        for (const g of gradients) g.dispose();
      };
      if (!finite) {
        end();
        throw new NonFiniteError(`refine: the residual of iteration ${made} is not finite`);
      }
      history.push(eta);
      if (made > 0) onStep?.({ step: made, eta });
      stalled = progress ? 0 : stalled + 1;
      if (signal?.aborted) stopped = 'aborted';
      else if (least.every((x) => x <= tolerance)) stopped = 'tolerance';
      else if (stalled >= patience) stopped = 'stalled';
      if (stopped !== 'iterations' || made === iterations) {
        end();
        break;
      }
      this.adam.step(gradients, rates);
      end();
      made++;
    }
    const perFrame = await this.frameNorms(best);
    const own = this.releaseTo(best);
    const etaOf = (norms: number[][]) =>
      norms.map((row) => Math.sqrt(this.setting.physics.dt * row.reduce((s, x) => s + x * x, 0)));
    return {
      prediction: own,
      eta0: etaOf(perFrame0),
      eta: etaOf(perFrame),
      perFrame0,
      perFrame,
      history,
      iterations: made,
      stopped,
      dispose: () => own.dispose(),
    };
  }

  dispose(): void {
    this.operator.dispose();
    this.adam.dispose();
    for (const x of [...this.layer, ...this.held]) x.dispose();
    this.dropVelocity();
  }

  private hold<T extends Tensor>(x: T): T {
    this.held.push(x);
    return x;
  }

  private release(x: Tensor): void {
    this.releaseTo(x).dispose();
  }

  private releaseTo(x: Tensor): Tensor {
    this.held.splice(this.held.indexOf(x), 1);
    return x;
  }

  /** Frames of the layer as it is now, `[batch, outSteps, n, n]`. */
  private prediction(): Tensor {
    return tidy(() => {
      const [weight, bias] = this.layer as readonly Tensor[] as [Tensor, Tensor];
      const { re, im, batch } = this;
      const [mt, ky, kx] = re.shape as [number, number, number, number];
      const { delta } = this.model.config;
      const [a, b, c, d] = [half(weight, 0), half(weight, 1), half(bias, 0), half(bias, 1)];
      const shift = (x: Tensor, y: Tensor) => reshape(add(x, mul(y, delta)), [mt * ky, kx * batch]);
      const mixed = stack(
        [shift(sub(mul(re, a), mul(im, b)), c), shift(add(mul(re, b), mul(im, a)), d)],
        1,
      );
      const packed = reshape(transpose(reshape(mixed, [-1, batch])), [1, batch, mt, ky, 2, kx]);
      const { latentSteps } = this.model.config;
      const frames = outputFrames(packed, this.last, latentSteps, this.setting.outSteps);
      const [, , nx, ny, t] = frames.shape as [number, number, number, number, number];
      return transpose(reshape(frames, [batch, nx, ny, t]), [0, 3, 1, 2]);
    });
  }

  /** ‖r_j‖² of predicted frames, `[batch, residuals]`. */
  private squaredNorms(prediction: Tensor, frozen: boolean): Tensor {
    const frames = joinFrames(this.input, prediction, this.operator.known);
    const velocity = frozen ? this.velocity : undefined;
    const norms = this.operator.squaredNorms(this.operator.spectra(frames, velocity));
    return reshape(norms, [this.batch, -1]);
  }

  private evaluate() {
    const { dt } = this.setting.physics;
    let kept: Tensor[] = [];
    const { value, grads } = variableGrads(() => {
      const prediction = this.prediction();
      const squares = mul(sum(this.squaredNorms(prediction, true), 1), dt);
      // With a frozen velocity η is that of the frozen problem; the true one is what counts.
      const own = this.velocity
        ? sqrt(mul(sum(this.squaredNorms(prediction, false), 1), dt))
        : sqrt(squares);
      kept = [own, prediction].map((x) => keep(x.clone()));
      return sum(squares) as Scalar;
    }, [...this.layer]);
    value.dispose();
    const gradients = this.layer.map((w) => grads[w.name]!);
    return { etas: kept[0]!, prediction: kept[1]!, gradients };
  }

  private async frameNorms(prediction: Tensor): Promise<number[][]> {
    const norms = tidy(() => sqrt(this.squaredNorms(prediction, false)));
    const values = Array.from(await norms.data());
    const J = norms.shape[1]!;
    norms.dispose();
    return Array.from({ length: this.batch }, (_, i) => values.slice(i * J, (i + 1) * J));
  }

  private freezeVelocity(): void {
    const next = tidy(() =>
      this.operator.velocity(joinFrames(this.input, this.prediction(), this.operator.known)),
    );
    this.dropVelocity();
    this.velocity = next;
  }

  private dropVelocity(): void {
    this.velocity?.u.dispose();
    this.velocity?.v.dispose();
    this.velocity = undefined;
  }

  /** Xavier-normal numbers times 1e-6 at the new frequencies, 0 at the old ones. */
  private smallNumbers(old: Tensor, shape: readonly number[], random: Random): Tensor {
    const [mx, my, mt] = modesOf(old);
    const [, kt, ky, kx] = shape as [number, number, number, number];
    const isOld = (index: number, m: number, length: number) => index < m || index >= length - m;
    const values = Float32Array.from({ length: 2 * kx * ky * kt }, (_, i) => {
      const x = i % kx;
      const y = Math.floor(i / kx) % ky;
      const k = Math.floor(i / (kx * ky)) % kt;
      const value = 1e-6 * random.normal();
      return k < mt && isOld(x, mx, kx) && isOld(y, my, ky) ? 0 : value;
    });
    return tensor(values, [...shape]);
  }
}

/** Real (0) or imaginary (1) half. */
function half(x: Tensor, index: 0 | 1): Tensor {
  return partOf(x, index, x.shape.slice(1));
}

/** Row by row, `a` where `which` says so, else `b`. */
function choose(which: readonly boolean[], a: Tensor, b: Tensor): Tensor {
  const take = reshape(tensor1d(which.map(Number)), [which.length, 1, 1, 1]);
  return add(mul(a, take), mul(b, sub(1, take)));
}
