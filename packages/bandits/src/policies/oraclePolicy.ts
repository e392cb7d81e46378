/** A regression oracle and an exploration rule make a policy. */
import {
  checkBoolean,
  checkInteger,
  checkNumber,
  checkOneOf,
  checkOptions,
  type Random,
} from '@orth/backend';
import { floorRow, type Opening, uniformRow } from '../exploration.js';
import type { RidgeModel } from '../linear/ridgeModel.js';
import {
  NeuralOracle,
  type NeuralRegressionOptions,
  REGRESSION_OPTIONS,
} from '../neural/neuralOracle.js';
import type { LinearOracle, Oracle } from '../oracle.js';
import { logisticOracle, ridgeOracle } from '../oracle.js';
import type { Json } from '../policy.js';
import type { SavedData } from '../stateCodec.js';
import { BasePolicy, POLICY_OPTIONS, type PolicyOptions } from './basePolicy.js';

/** Which regression predicts losses. */
export type OracleKind = 'ridge' | 'logistic' | 'neural';

/** Options of a network as oracle. */
export interface NeuralOracleOptions extends NeuralRegressionOptions {
  /** `'square'` with a linear output, or `'kl'` with a sigmoid one. Default `'square'` */
  readonly loss?: 'square' | 'kl';
}

/** Options of policies that explore by a rule. */
export interface ExplorationPolicyOptions extends PolicyOptions {
  /** Floor: each open action gets `minProbability / K` at least, by Euclidean projection. Default 0 */
  readonly minProbability?: number;
  /** Plays uniformly until so many observations are learnt. Default 0 */
  readonly uniformRounds?: number;
}

/** Options of policies with an oracle. */
export interface OraclePolicyOptions extends ExplorationPolicyOptions {
  /** What predicts losses. Default `'ridge'` */
  readonly oracle?: OracleKind;
  /**
   * Whether linear regressions see a constant 1 after the features. Losses scaled to [0, 1] are rarely 0 where the
   * features are, and a model that must pass through the origin then learns the wrong signs. Default true
   */
  readonly intercept?: boolean;
  /** λ > 0 of ridge and logistic regression, also of the intercept. Default 1 */
  readonly lambda?: number;
  /** Share of the past that ridge regression keeps at an update, in (0, 1]. Default 1 */
  readonly forgetting?: number;
  /** The network, for `oracle: 'neural'`. */
  readonly network?: NeuralOracleOptions;
}

/** @internal Names of {@link ExplorationPolicyOptions}. */
export const EXPLORATION_OPTIONS = [...POLICY_OPTIONS, 'minProbability', 'uniformRounds'] as const;

/** @internal Names of {@link OraclePolicyOptions}. */
export const ORACLE_OPTIONS = [
  ...EXPLORATION_OPTIONS,
  'oracle',
  'intercept',
  'lambda',
  'forgetting',
  'network',
] as const;

/** @internal Checks the options of ridge regression, fills in defaults. */
export function ridgeSettings(
  caller: string,
  options: { readonly intercept?: boolean; readonly lambda?: number; readonly forgetting?: number },
  interceptDefault = true,
) {
  const { intercept = interceptDefault, lambda = 1, forgetting = 1 } = options;
  checkBoolean(caller, 'intercept', intercept);
  checkNumber(caller, 'lambda', lambda, { above: 0 });
  checkNumber(caller, 'forgetting', forgetting, { above: 0, max: 1 });
  return { intercept, lambda, forgetting };
}

/** @internal The oracle that the options name. */
export function createOracle(caller: string, options: OraclePolicyOptions): Oracle {
  const { dim, actionCount, oracle = 'ridge', network = {} } = options;
  checkOneOf(caller, 'oracle', oracle, ['ridge', 'logistic', 'neural']);
  const { intercept, lambda, forgetting } = ridgeSettings(caller, options);
  const shape = { dim, actionCount, intercept };
  checkOptions(`${caller} network`, network, [...REGRESSION_OPTIONS, 'loss']);
  if (oracle !== 'neural' && options.network !== undefined) {
    throw new RangeError(`${caller}: network must go with oracle 'neural', got '${oracle}'`);
  }
  if (oracle !== 'ridge' && forgetting !== 1) {
    throw new RangeError(`${caller}: forgetting must be 1 without ridge, got ${forgetting}`);
  }
  if (oracle === 'ridge') return ridgeOracle(shape, { lambda, forgetting });
  if (oracle === 'logistic') return logisticOracle(shape, lambda);
  const { loss = 'square', ...rest } = network;
  checkOneOf(caller, 'network.loss', loss, ['square', 'kl']);
  const kind = loss === 'kl' ? 'kl' : 'halfSquare';
  return new NeuralOracle(caller, dim, actionCount, kind, rest);
}

/** @internal Turns the predicted losses in `p`, K of them, into probabilities, after `t` observations. */
export type AllocationRule = (p: Float64Array, K: number, open: Opening, t: number) => void;

/** @internal */
export interface OraclePolicyParts {
  readonly bounded: boolean;
  /** Makes the oracle once the common options are known to be right. */
  oracle(): Oracle;
  /** The rule, or how to narrow `open` before it. */
  readonly rule: AllocationRule;
  /** Masks actions that the data rule out, before the rule. */
  narrow?(oracle: Oracle, x: Float64Array, K: number, open: Opening, t: number): Opening;
}

/** @internal A policy all of whose knowledge is an oracle of losses. */
export abstract class LossPolicy extends BasePolicy {
  protected abstract readonly oracle: Oracle;

  protected expect(K: number, out: Float64Array): void {
    this.oracle.predict(this.x, K, out);
    for (let a = 0; a < K; a++) out[a] = this.outcomeOf(out[a]!);
  }

  protected learn(action: number, outcome: number, weight: number): void {
    this.oracle.update(this.x, action, this.lossOf(outcome), weight);
  }

  protected saved(): { [key: string]: Json } {
    return { oracle: this.oracle.save() };
  }

  protected load(data: SavedData): void {
    this.oracle.load(data.part('oracle'));
  }
}

/** @internal Oracle + rule. */
export class OraclePolicy extends LossPolicy {
  readonly oracle: Oracle;
  private readonly minProbability: number;
  private readonly uniformRounds: number;

  constructor(
    name: string,
    protected readonly options: ExplorationPolicyOptions,
    private readonly parts: OraclePolicyParts,
  ) {
    super(name, options, { bounded: parts.bounded });
    const { minProbability = 0, uniformRounds = 0 } = options;
    checkNumber(name, 'minProbability', minProbability, { min: 0, max: 1 });
    checkInteger(name, 'uniformRounds', uniformRounds, { min: 0 });
    this.minProbability = minProbability;
    this.uniformRounds = uniformRounds;
    this.oracle = parts.oracle();
  }

  protected allocate(K: number, _random: Random, out: Float64Array): void {
    if (this.updates < this.uniformRounds) {
      uniformRow(out, 0, K, this.open);
      return;
    }
    this.oracle.predict(this.x, K, out);
    const { narrow, rule } = this.parts;
    const open = narrow?.(this.oracle, this.x, K, this.open, this.updates) ?? this.open;
    rule(out, K, open, this.updates);
    if (this.minProbability > 0) floorRow(this.minProbability)(out, 0, K, this.open);
  }
}

/** @internal A ridge oracle. */
export type RidgeOracle = LinearOracle<RidgeModel>;
