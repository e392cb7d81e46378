import { checkNumber, checkOptions, checkTensor } from '@orth/backend';
import {
  add,
  clone,
  div,
  engine,
  keep,
  mean,
  mul,
  type NamedTensorMap,
  type Optimizer,
  type Scalar,
  type Tensor,
  tidy,
  type Variable,
  variableGrads,
} from '@tensorflow/tfjs-core';
import { compSumLoss } from './compSum.js';
import { marginDeltaNorm } from './marginDeltaNorm.js';
import { PGD_OPTIONS, type PgdOptions, pgd, resolvePgd } from './pgd.js';
import {
  resolveSmoothAdversarial,
  SMOOTH_ADVERSARIAL_PARAMETERS,
  type SmoothAdversarialParameters,
} from './smoothAdversarial.js';

/** A model as a function from inputs to logits `[B, n]`. */
export type Model = (x: Tensor) => Tensor;

/** Options of {@link adversarialStep}. */
export interface AdversarialStepOptions extends PgdOptions, SmoothAdversarialParameters {
  /** What applies the gradients. No default */
  readonly optimizer: Optimizer;
  /** Variables to train. Default: all trainable ones that the loss depends on */
  readonly variables?: readonly Variable[];
  /** λ of the regulariser `λ/2 Σ‖w‖²`, whose gradient is added to that of the loss; >= 0. Default 0 */
  readonly weightDecay?: number;
  /**
   * The model in inference mode, for the search: give it where the model has batch normalisation or dropout.
   * Default: the model itself
   */
  readonly attackedModel?: Model;
}

/** What a step saw, each the mean over the batch before the update. */
export interface AdversarialStepResult {
  /** `clean + ν · change`. */
  readonly loss: Scalar;
  /** Comp-sum loss of the clean logits divided by ρ. */
  readonly clean: Scalar;
  /** Norm of the change of margins. */
  readonly change: Scalar;
}

const OWN = ['optimizer', 'variables', 'weightDecay', 'attackedModel'];

/**
 * One step of ADV-COMP-SUM: search the perturbation that moves the margins most, then descend the smooth adversarial
 * comp-sum loss there, with weight decay.
 *
 * The clean logits are held fixed in the search and not in the loss.
 *
 * @param model - gives logits `[B, n]` for inputs `[B, …]`
 * @param x - inputs, shape `[B, …]`, float32, within `clip`
 * @param labels - class indices `[B]` or one-hot rows `[B, n]`
 * @param options - see {@link AdversarialStepOptions}; for reproducible training give `random`, whose state can be saved
 * @returns three scalars; the caller disposes them
 * @throws TypeError for an unknown option; RangeError for a value out of range; as {@link compSumLoss} for bad labels or
 *   logits, the variables unchanged
 * @example
 * const random = seededRandom(1);
 * for (const { x, y } of batches) {
 *   const { loss, clean, change } = adversarialStep(model, x, y, { optimizer, radius: 0.1, random });
 * }
 * @see Mao, Mohri, Zhong 2023, arXiv 2304.07288, algorithm ADV-COMP-SUM; start and detachment as in TRADES
 */
export function adversarialStep(
  model: Model,
  x: Tensor,
  labels: Tensor,
  options: AdversarialStepOptions,
): AdversarialStepResult {
  const caller = 'adversarialStep';
  checkTensor(caller, 'x', x, { minRank: 2 });
  checkOptions(caller, options, [...OWN, ...PGD_OPTIONS, ...SMOOTH_ADVERSARIAL_PARAMETERS]);
  const { optimizer, variables, weightDecay = 0, attackedModel = model } = options;
  const { tau, rho, nu } = resolveSmoothAdversarial(caller, options);
  const search = searchOf(options);
  resolvePgd(caller, search, x.shape);
  checkNumber(caller, 'weightDecay', weightDecay, { min: 0 });
  for (const [name, f] of Object.entries({ model, attackedModel })) {
    if (typeof f !== 'function') throw new TypeError(`${caller}: ${name} must be a function`);
  }
  if (typeof optimizer?.applyGradients !== 'function') {
    throw new TypeError(`${caller}: optimizer must be a tf.Optimizer`);
  }

  const adversarial = tidy(() => {
    const clean = attackedModel(x);
    // Finds bad labels and logits here: tfjs keeps what a gradient's tape has saved when its function throws.
    tidy(() => marginDeltaNorm(clean, clean, labels));
    return pgd((z) => marginDeltaNorm(attackedModel(z), clean, labels), x, search);
  });
  const parts: Scalar[] = [];
  const list = variables && [...variables];
  try {
    const { value, grads } = variableGrads(() => {
      const logits = model(x);
      const clean = mean(compSumLoss(div(logits, rho), labels, { tau })) as Scalar;
      const change = mean(marginDeltaNorm(model(adversarial), logits, labels)) as Scalar;
      parts.push(keep(clean), keep(change));
      return add(clean, mul(change, nu)) as Scalar;
    }, list);
    const decayed = decay(grads, weightDecay, list);
    optimizer.applyGradients(decayed);
    for (const g of Object.values(decayed)) g.dispose();
    // Copies, since what is kept outlives a caller's tidy.
    return { loss: value, clean: clone(parts[0]!), change: clone(parts[1]!) };
  } finally {
    for (const part of parts) part.dispose();
    adversarial.dispose();
  }
}

/** The options that are for the search. */
function searchOf(options: AdversarialStepOptions): PgdOptions {
  const entries = Object.entries(options).filter(([name]) =>
    (PGD_OPTIONS as readonly string[]).includes(name),
  );
  return Object.fromEntries(entries) as unknown as PgdOptions;
}

/** Gradients with `λw` added; takes the ones it was given. */
function decay(
  gradients: NamedTensorMap,
  lambda: number,
  list: readonly Variable[] | undefined,
): NamedTensorMap {
  if (lambda === 0) return gradients;
  const known = engine().registeredVariables;
  const ofName = new Map(list?.map((w) => [w.name, w]));
  const decayed = Object.entries(gradients).map(([name, g]) => {
    const result = tidy(() => add(g, mul((ofName.get(name) ?? known[name])!, lambda)));
    g.dispose();
    return [name, result] as const;
  });
  return Object.fromEntries(decayed);
}
