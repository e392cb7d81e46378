import { seededRandom } from '@orth/backend';
import { startsFromWeight } from '../lora/initializers.js';
import type { AdapterModule } from './adapterModule.js';
import type { Adapter } from './adapterTypes.js';
import { createModule } from './createModule.js';
import { type BaseValues, type ExtraWeight, ExtraWeights } from './extraWeights.js';
import type { MergedWeights } from './mergedWeights.js';
import type { ResolvedOptions } from './options.js';
import type { Target } from './target.js';

/** The pretrained weights' numbers, where adapters start from these. */
export async function startingValues(
  targets: readonly Target[],
  { init }: ResolvedOptions,
  weights: MergedWeights,
) {
  if (!startsFromWeight(init)) return [];
  return Promise.all(targets.map(({ path, variable }) => weights.original(path, variable).data()));
}

/** A new adapter of these options; if one of its modules cannot be made, nothing is left behind. */
export function makeAdapter(
  name: string,
  options: ResolvedOptions,
  targets: readonly Target[],
  values: Awaited<ReturnType<typeof startingValues>>,
  {
    weights,
    extras,
    baseValues,
  }: {
    readonly weights: MergedWeights;
    readonly extras: readonly ExtraWeight[];
    readonly baseValues: BaseValues;
  },
): Adapter {
  const root = seededRandom(options.seed);
  const modules = new Map<string, AdapterModule>();
  try {
    targets.forEach((target, i) => {
      modules.set(
        target.path,
        weights.onOriginal(target, () =>
          createModule(target, options, name, root.fork(i + 1), values[i]),
        ),
      );
    });
  } catch (error) {
    for (const module of modules.values()) module.dispose();
    throw error;
  }
  return {
    name,
    options,
    modules,
    extras: new ExtraWeights(extras, baseValues),
    random: root.fork(0),
  };
}
