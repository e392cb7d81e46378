import { checkBoolean, checkInteger, checkNumber, checkOptions } from '@orth/backend';

/** Options of {@link loraScaling}. */
export interface ScalingOptions {
  /** Numerator of the scale, any finite number; PEFT's `lora_alpha`. Default: `r`, which scales by 1 */
  readonly alpha?: number;
  /** Divide by √r in place of r, so that the update keeps its size as the rank grows. Default false */
  readonly useRslora?: boolean;
}

/**
 * The factor `s` of a low-rank update `s A B`: `alpha / r`, or `alpha / √r`.
 *
 * @param r - rank, integer >= 1
 * @throws TypeError or RangeError for another rank, alpha or option
 * @example
 * loraScaling(4, { alpha: 8 }); // 2
 * @see Hu et al. 2021, "LoRA", section 4.1; Kalajdzievski 2023, "A Rank Stabilization Scaling Factor"
 */
export function loraScaling(r: number, options: ScalingOptions = {}): number {
  checkInteger('loraScaling', 'r', r, { min: 1 });
  checkOptions('loraScaling', options, ['alpha', 'useRslora']);
  const { alpha = r, useRslora = false } = options;
  checkNumber('loraScaling', 'alpha', alpha);
  checkBoolean('loraScaling', 'useRslora', useRslora);
  return alpha / (useRslora ? Math.sqrt(r) : r);
}
