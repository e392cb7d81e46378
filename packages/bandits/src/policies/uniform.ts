/** Chance alone: the baseline that any policy must beat, and the cleanest logging policy there is. */
import { checkOptions, type Random } from '@orth/backend';
import { uniformRow } from '../exploration.js';
import type { Json, Policy } from '../policy.js';
import { BasePolicy, POLICY_OPTIONS, type PolicyOptions } from './basePolicy.js';

class Uniform extends BasePolicy {
  protected readonly options: PolicyOptions;

  constructor(options: PolicyOptions) {
    checkOptions('uniform', options, POLICY_OPTIONS);
    super('uniform', options);
    this.options = { ...options };
  }

  protected allocate(K: number, _random: Random, out: Float64Array): void {
    uniformRow(out, 0, K, this.open);
  }

  protected expect(_K: number, out: Float64Array): void {
    const [least, greatest] = this.range;
    const middle = (least + greatest) / 2;
    out.fill(Number.isFinite(middle) ? middle : 0);
  }

  protected learn(): void {}

  protected saved(): { [key: string]: Json } {
    return {};
  }

  protected load(): void {}
}

/**
 * Every action that is not masked with equal probability; learns nothing.
 * @throws TypeError or RangeError for a bad option
 */
export function uniform(options: PolicyOptions): Policy {
  return new Uniform(options);
}
