import { checkOptions } from '@orth/backend';
import { serialization } from '@tensorflow/tfjs-core';
import { AdamWMethod } from './adamWMethod.js';
import {
  ADAM_W_OPTIONS,
  type AdamWOptions,
  checkGroups,
  resolveAdamW,
  STEP_OPTIONS,
  type VariableInfo,
} from './options.js';
import { OrthOptimizer, type Route } from './orthOptimizer.js';
import { matches } from './routing.js';

/**
 * Adam with decoupled weight decay, as a tfjs optimizer: `minimize`, `applyGradients`, `model.compile`.
 *
 * Many small variables are updated in one pass. State: two numbers a weight.
 *
 * @example
 * const optimizer = new AdamW({ learningRate: 3e-4, weightDecay: 0.1 });
 * optimizer.minimize(() => loss());
 * @see {@link adamWUpdate} for the formula; Loshchilov and Hutter 2019
 */
export class AdamW extends OrthOptimizer<AdamWOptions> {
  /** Name in saved models. */
  static get className(): string {
    return 'OrthAdamW';
  }

  private readonly method = new AdamWMethod();
  private readonly settings;
  private readonly groups;

  /**
   * AdamW for every variable.
   * @param options - see {@link AdamWOptions}
   * @throws TypeError or RangeError for an unknown option or a value out of range
   */
  constructor(options: AdamWOptions = {}) {
    checkOptions('AdamW', options, [...ADAM_W_OPTIONS, ...STEP_OPTIONS, 'groups']);
    super('AdamW', options);
    this.settings = resolveAdamW('AdamW', options);
    const groups = options.groups ?? [];
    checkGroups('AdamW', groups, { adamW: ADAM_W_OPTIONS, frozen: [] });
    this.groups = groups.map((group, i) => ({
      ...group,
      settings: resolveAdamW(`AdamW: groups[${i}]`, group, this.settings),
    }));
  }

  protected override route(variable: VariableInfo): Route {
    const at = this.groups.findIndex((group) => matches(group, variable));
    const group = this.groups[at];
    const none = { matrixShape: null, matrices: 0 };
    const reason = group ? `groups[${at}]` : 'no group names it';
    if (group?.optimizer === 'frozen') return { optimizer: 'frozen', ...none, reason };
    const plan = group?.settings ?? this.settings;
    return { optimizer: 'adamW', method: this.method, plan, ...none, reason };
  }
}

serialization.registerClass(AdamW);
