import { checkOneOf, checkOptions, seededRandom } from '@orth/backend';
import type { Adapter, WeightedOptions } from './adapterTypes.js';
import { type Combined, checkCombination, combine, type Weighted } from './combineAdapters.js';
import { type BaseValues, ExtraWeights } from './extraWeights.js';
import { LoraModule } from './loraModule.js';
import type { Target } from './target.js';

/** @throws TypeError or RangeError for a wrong option */
export function checkWeightedOptions(
  caller: string,
  options: WeightedOptions,
): Required<Pick<WeightedOptions, 'combination'>> & Pick<WeightedOptions, 'rank'> {
  checkOptions(caller, options, ['combination', 'rank']);
  const { combination = 'cat', rank } = options;
  checkOneOf(caller, 'combination', combination, ['cat', 'svd', 'linear']);
  return { combination, rank };
}

/** Factors of a weighted sum, by target. */
export type CombinedTargets = ReadonlyMap<Target, Combined>;

/**
 * A weighted sum of adapters, as factors on the host.
 * @throws (rejects with) RangeError unless they are plain LoRA adapters whose ranks fit
 */
export async function combineTargets(
  caller: string,
  targets: readonly Target[],
  sources: readonly Adapter[],
  weights: readonly number[],
  { combination, rank }: ReturnType<typeof checkWeightedOptions>,
): Promise<CombinedTargets> {
  const plain = ({ options: { method, useDora }, extras }: Adapter) =>
    method === 'lora' && !useDora && extras.weights.length === 0;
  const odd = sources.find((adapter) => !plain(adapter));
  if (odd) {
    throw new RangeError(
      `${caller}: names must be of plain LoRA adapters without weights trained whole, got ${odd.name}`,
    );
  }
  const parts = new Map<Target, Weighted[]>();
  for (const target of targets) {
    const list = sources.flatMap(({ modules }, i) => {
      const module = modules.get(target.path);
      return module instanceof LoraModule ? [{ module, weight: weights[i]! }] : [];
    });
    if (list.length === 0) continue;
    checkCombination(caller, target, list, combination, rank);
    parts.set(target, list);
  }
  const combined = new Map<Target, Combined>();
  for (const [target, list] of parts) {
    combined.set(target, await combine(target, list, combination, rank));
  }
  return combined;
}

/** The adapter of such factors. */
export function weightedAdapter(
  name: string,
  combined: CombinedTargets,
  first: Adapter,
  baseValues: BaseValues,
): Adapter {
  const modules = new Map(
    [...combined].map(([target, { factors, r }]) => {
      const common = { n: 1, alpha: r, useRslora: false, useDora: false, fromInitial: false };
      return [target.path, new LoraModule(target, { ...common, r, name }, factors)];
    }),
  );
  const resolved = { ...first.options, n: 1, useRslora: false, alpha: undefined };
  return {
    name,
    options: { ...resolved, init: 'kaiming', rankPattern: {}, alphaPattern: {} },
    modules,
    extras: new ExtraWeights([], baseValues),
    random: seededRandom(resolved.seed).fork(0),
  };
}
