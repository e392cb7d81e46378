/** An adapter on its way to a file and back. */
import { CheckpointError, restoreRandom, seededRandom } from '@orth/backend';
import { tensor } from '@tensorflow/tfjs-core';
import {
  type OwnHeader,
  parseOwnHeader,
  parsePeftConfig,
  toPeftConfig,
} from '../files/adapterConfig.js';
import type { AdapterContent } from '../files/adapterFile.js';
import { expectShape, type FileTensor } from '../files/fileTensor.js';
import type { ModuleScale } from './adapterModule.js';
import type { Adapter } from './adapterTypes.js';
import { type BaseValues, type ExtraWeight, ExtraWeights } from './extraWeights.js';
import { GraloraModule } from './graloraModule.js';
import { loadModules } from './loadModules.js';
import { LoraModule } from './loraModule.js';
import { listNames } from './matchTargets.js';
import { type ResolvedOptions, resolveOptions } from './options.js';
import type { Target } from './target.js';

/**
 * What a file holds of an adapter.
 * @param targets - those that it adapts
 * @param whole - paths of modules that it trains whole
 */
export async function contentOf(
  { options, modules, extras, random }: Adapter,
  targets: readonly Target[],
  whole: readonly string[],
): Promise<AdapterContent> {
  const scales = new Map<string, ModuleScale>();
  let fromInitial = false;
  for (const { path } of targets) {
    const module = modules.get(path)!;
    if (module instanceof LoraModule) {
      scales.set(path, module.fileScale());
      fromInitial = module.options.fromInitial;
    } else if (module instanceof GraloraModule) scales.set(path, module.options);
    else scales.set(path, { r: 0, alpha: 1 });
  }
  const { n, init, seed } = options;
  const own: OwnHeader = { n, fromInitial, init, seed, random: random.state() };
  const [parts, values] = await Promise.all([
    Promise.all(targets.map((target) => modules.get(target.path)!.save(target))),
    Promise.all(
      extras.current().map(async (x) => ({
        shape: x.shape,
        data: Float32Array.from(await x.data()),
      })),
    ),
  ]);
  return {
    config: toPeftConfig(options, scales, whole),
    own: JSON.stringify(own),
    modules: new Map(targets.map(({ path }, i) => [path, new Map(Object.entries(parts[i]!))])),
    extras: new Map(extras.weights.map((extra, i) => [extra.key, extra.toFile(values[i]!)])),
  };
}

/** The model that a file's adapter is for. */
export interface AdapterHost {
  readonly candidates: readonly Target[];
  readonly baseValues: BaseValues;
  /** Weights of whole modules, or biases. */
  extraWeights(options: ResolvedOptions, targets: readonly Target[]): readonly ExtraWeight[];
  /** Runs `work` with the target's variable as pretrained. */
  onOriginal<T>(target: Target, work: () => T): T;
}

/**
 * The adapter that a file holds.
 * @throws CheckpointError if the file is damaged or belongs to a model of other shapes or names; nothing is left behind then
 */
export function adapterOf(content: AdapterContent, name: string, host: AdapterHost): Adapter {
  const config = parsePeftConfig(content.config);
  const own = parseOwnHeader(content.own);
  const candidates = new Map(host.candidates.map((target) => [target.path, target]));
  const foreign = [...content.modules.keys()].filter((path) => !candidates.has(path));
  if (foreign.length > 0 || content.modules.size === 0) {
    const here = listNames([...candidates.keys()]);
    throw new CheckpointError(
      `loadAdapter: the file must be of modules that are here (${here}), got ${listNames(foreign)}; nothing was changed`,
    );
  }
  const targets = [...content.modules.keys()].map((path) => candidates.get(path)!);
  const options: ResolvedOptions = {
    ...optionsOf(config, own, targets),
    modulesToSave: modulesOf(content.extras, config.bias),
  };
  const weights = host.extraWeights(options, targets);
  const values = extraValues(weights, content.extras);
  const random = own?.random ? restoreRandom(own.random) : seededRandom(options.seed).fork(0);
  const modules = loadModules(targets, content.modules, config, own, name, (target, make) =>
    host.onOriginal(target, make),
  );
  const extras = new ExtraWeights(weights, host.baseValues);
  const tensors = weights.map(({ variable }, i) => tensor(values[i]!.data, variable.shape));
  extras.replace(tensors);
  for (const x of tensors) x.dispose();
  return { name, options, modules, extras, random };
}

/** Options that a file's adapter amounts to. */
function optionsOf(
  config: ReturnType<typeof parsePeftConfig>,
  own: OwnHeader | undefined,
  targets: readonly Target[],
): ResolvedOptions {
  const { method, bias, useRslora, useDora, dropout, k, blockSize, neumannTerms } = config;
  return {
    ...resolveOptions('loadAdapter', { method, bias }),
    useRslora,
    useDora,
    dropout,
    k,
    blockSize,
    neumannTerms,
    n: own?.n ?? 1,
    init: own?.init ?? 'kaiming',
    seed: own?.seed ?? 0,
    targetModules: targets.map(({ path }) => path),
  };
}

/** Paths of modules of which a file has more than a bias, or a bias that the bias mode does not explain. */
function modulesOf(
  extras: ReadonlyMap<string, FileTensor>,
  bias: ResolvedOptions['bias'],
): readonly string[] | undefined {
  const keys = [...extras.keys()].filter((key) => bias === 'none' || !key.endsWith('.bias'));
  const paths = [...new Set(keys.map((key) => key.replace(/\.[^.]*$/, '')))];
  return paths.length > 0 ? paths : undefined;
}

/** Values out of a file in the model's layout, all checked. */
function extraValues(
  weights: readonly ExtraWeight[],
  file: ReadonlyMap<string, FileTensor>,
): FileTensor[] {
  const keys = new Set(weights.map(({ key }) => key));
  const strange = [...file.keys()].filter((key) => !keys.has(key));
  const missing = [...keys].filter((key) => !file.has(key));
  if (strange.length > 0 || missing.length > 0) {
    const problem = `the file's other weights must be those of its modules, got ${listNames(strange)} too many and ${listNames(missing)} missing`;
    throw new CheckpointError(`loadAdapter: ${problem}; nothing was changed`);
  }
  return weights.map((extra) => {
    const { key, variable } = extra;
    const x = file.get(key)!;
    const inLayout = extra.fromFile(x);
    expectShape(key, inLayout, variable.shape);
    return inLayout;
  });
}
