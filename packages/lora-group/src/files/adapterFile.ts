/** An adapter as PEFT's two files: `adapter_config.json` and `adapter_model.safetensors`. */
import { CheckpointError } from '@orth/backend';
import type { AdapterConfig } from './adapterConfig.js';
import type { FileTensor } from './fileTensor.js';
import { decodeSafetensors, encodeSafetensors } from './safetensors.js';

/** An adapter's two files. */
export interface AdapterFiles {
  /** `adapter_config.json`, to be written by `JSON.stringify`. */
  readonly config: AdapterConfig;
  /** `adapter_model.safetensors`. */
  readonly weights: Uint8Array<ArrayBuffer>;
}

/** Prefix of every name in PEFT's files. */
const PREFIX = 'base_model.model.';
/** Name of our own text in the metadata. */
const OWN = 'orth_lora_group';

/** Endings of names, behind a module's path; PEFT may put the adapter's name inside. */
const PARTS: readonly (readonly [RegExp, string])[] = [
  [/\.lora_A(?:\.[^.]+)?\.weight$/, 'lora_A.weight'],
  [/\.lora_B(?:\.[^.]+)?\.weight$/, 'lora_B.weight'],
  [/\.lora_embedding_A(?:\.[^.]+)?$/, 'lora_embedding_A'],
  [/\.lora_embedding_B(?:\.[^.]+)?$/, 'lora_embedding_B'],
  [/\.lora_magnitude_vector(?:\.[^.]+){0,2}$/, 'lora_magnitude_vector'],
  [/\.gralora_A(?:\.[^.]+)?$/, 'gralora_A'],
  [/\.gralora_B(?:\.[^.]+)?$/, 'gralora_B'],
  [/\.oft_R(?:\.[^.]+)?\.weight$/, 'oft_R.weight'],
];

/** The content of an adapter's files, apart from their form. */
export interface AdapterContent {
  readonly config: unknown;
  /** Our own header, as text. */
  readonly own: string | undefined;
  /** By the module's path and the ending of the name. */
  readonly modules: ReadonlyMap<string, ReadonlyMap<string, FileTensor>>;
  /** Weights trained whole, by path and name: `head.weight`. */
  readonly extras: ReadonlyMap<string, FileTensor>;
}

/** All tensors of an adapter by the names that PEFT gives them. */
export function nameTensors({
  modules,
  extras,
}: Pick<AdapterContent, 'modules' | 'extras'>): Map<string, FileTensor> {
  const tensors = new Map<string, FileTensor>();
  for (const [path, parts] of modules) {
    for (const [part, x] of parts) tensors.set(`${PREFIX}${path}.${part}`, x);
  }
  for (const [key, x] of extras) tensors.set(`${PREFIX}${key}`, x);
  return tensors;
}

/** Inverse of {@link nameTensors}. */
export function sortTensors(
  tensors: ReadonlyMap<string, FileTensor>,
  mapPath: (path: string) => string,
): Pick<AdapterContent, 'modules' | 'extras'> {
  const modules = new Map<string, Map<string, FileTensor>>();
  const extras = new Map<string, FileTensor>();
  for (const [full, x] of tensors) {
    const name = full.startsWith(PREFIX) ? full.slice(PREFIX.length) : full;
    const found = PARTS.find(([pattern]) => pattern.test(name));
    if (!found) {
      const cut = name.lastIndexOf('.');
      extras.set(cut < 0 ? name : `${mapPath(name.slice(0, cut))}${name.slice(cut)}`, x);
      continue;
    }
    const path = mapPath(name.replace(found[0], ''));
    const parts = modules.get(path) ?? new Map<string, FileTensor>();
    modules.set(path, parts);
    if (parts.has(found[1])) {
      throw new CheckpointError(
        `loadAdapter: ${path}.${found[1]} is there twice; nothing was changed`,
      );
    }
    parts.set(found[1], x);
  }
  return { modules, extras };
}

/** The two files of an adapter. */
export function toFiles(content: AdapterContent): AdapterFiles {
  const metadata = new Map([['format', 'pt']]);
  if (content.own !== undefined) metadata.set(OWN, content.own);
  return {
    config: content.config as AdapterConfig,
    weights: encodeSafetensors(nameTensors(content), metadata),
  };
}

/**
 * Inverse of {@link toFiles}, for files of PEFT too.
 * @throws CheckpointError if the bytes are no safetensors file
 */
export function fromFiles(files: AdapterFiles, mapPath: (path: string) => string): AdapterContent {
  if (
    typeof files !== 'object' ||
    files === null ||
    !('config' in files) ||
    !('weights' in files)
  ) {
    throw new CheckpointError(
      'loadAdapter: files must be { config, weights }; nothing was changed',
    );
  }
  const { tensors, metadata } = decodeSafetensors(files.weights);
  return { config: files.config, own: metadata.get(OWN), ...sortTensors(tensors, mapPath) };
}
