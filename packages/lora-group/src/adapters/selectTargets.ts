import { listNames, matcher, type TargetInfo } from './matchTargets.js';
import type { ResolvedOptions } from './options.js';
import type { Target } from './target.js';

/** Weights to choose targets from. */
export interface TargetPools {
  /** Every weight that could be adapted. */
  readonly candidates: readonly Target[];
  /** The targets of `'allLinear'`. */
  readonly linear: readonly Target[];
}

const infoOf = ({ path, kind, variable }: Target): TargetInfo => ({
  path,
  kind,
  shape: [...variable.shape],
});

/**
 * The weights that an adapter's options mean.
 * @throws RangeError if that is none, or one that is also trained whole
 */
export function selectTargets(
  caller: string,
  options: ResolvedOptions,
  { candidates, linear }: TargetPools,
): readonly Target[] {
  const { targetModules, excludeModules, layersToTransform, modulesToSave } = options;
  const isAll = targetModules === 'allLinear';
  const pool = isAll ? linear : candidates;
  const wanted = isAll ? () => true : matcher(targetModules);
  const unwanted = excludeModules === undefined ? () => false : matcher(excludeModules);
  const whole = modulesToSave === undefined ? () => false : matcher(modulesToSave);
  const chosen = pool.filter((target) => {
    const info = infoOf(target);
    const layer = Number(/\d+/.exec(target.path)?.[0] ?? Number.NaN);
    if (layersToTransform && !layersToTransform.includes(layer)) return false;
    return wanted(info) && !unwanted(info) && !(isAll && whole(info));
  });
  if (chosen.length === 0) {
    const names = listNames(candidates.map(({ path }) => path));
    throw new RangeError(`${caller}: targetModules must match a module, got none of ${names}`);
  }
  const both = chosen.filter((target) => whole(infoOf(target)));
  if (both.length > 0) {
    const names = listNames(both.map(({ path }) => path));
    throw new RangeError(`${caller}: modulesToSave must not be targets too, got ${names} as both`);
  }
  return chosen;
}
