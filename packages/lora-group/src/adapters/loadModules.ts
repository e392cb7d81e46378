import { CheckpointError } from '@orth/backend';
import type { OwnHeader, ParsedConfig } from '../files/adapterConfig.js';
import type { FileTensor } from '../files/fileTensor.js';
import type { InitialFactors } from '../lora/initializers.js';
import type { AdapterModule } from './adapterModule.js';
import { checkGraloraTarget, GraloraModule, graloraFromFile } from './graloraModule.js';
import { type LoadedLora, LoraModule, loraFromFile } from './loraModule.js';
import { OftModule, oftFromFile } from './oftModule.js';
import type { Target } from './target.js';

/** Makes a module, once everything is checked. */
type Make = () => AdapterModule;

/**
 * Modules of an adapter out of a file. All parts are checked before the first variable is made.
 * @param onOriginal - runs what it is given with the target's weight as pretrained
 * @throws CheckpointError if a part is missing or does not fit
 */
export function loadModules(
  targets: readonly Target[],
  parts: ReadonlyMap<string, ReadonlyMap<string, FileTensor>>,
  config: ParsedConfig,
  own: OwnHeader | undefined,
  name: string,
  onOriginal: (target: Target, make: Make) => AdapterModule,
): Map<string, AdapterModule> {
  const makers = targets.map((target) => ({
    target,
    make: makerOf(target, parts.get(target.path)!, config, own, name),
  }));
  return new Map(makers.map(({ target, make }) => [target.path, onOriginal(target, make)]));
}

function makerOf(
  target: Target,
  parts: ReadonlyMap<string, FileTensor>,
  config: ParsedConfig,
  own: OwnHeader | undefined,
  name: string,
): Make {
  const { method, neumannTerms, k } = config;
  const alpha = config.alphaOf(target.path);
  if (method === 'oft') {
    const { values, blockSize } = oftFromFile(target, parts);
    return () => new OftModule(target, { blockSize, neumannTerms, name }, values);
  }
  if (method === 'gralora') {
    checkGraloraTarget('loadAdapter', target, k);
    const { A, B, r } = graloraFromFile(target, parts, k);
    return () => new GraloraModule(target, { r, alpha, k, name }, { A, B });
  }
  const loaded = loraFromFile(target, parts);
  const { useRslora, useDora } = config;
  if (useDora !== (loaded.magnitude !== undefined)) {
    fail(target, `must${useDora ? '' : ' not'} have a magnitude`);
  }
  const { n = 1, fromInitial = false } = own ?? {};
  const { trained, initial, width } = fromInitial
    ? splitInitial(target, loaded)
    : { trained: loaded, initial: undefined, width: loaded.width };
  if (width % n !== 0) fail(target, `must have a rank divisible by its ${n} updates, got ${width}`);
  const r = width / n;
  // A file's alpha is that of the whole rank; the scale is the same with alpha and rank of a part.
  const share = loaded.width / r;
  const partAlpha = alpha / (useRslora ? Math.sqrt(share) : share);
  const settings = { r, n, alpha: partAlpha, useRslora, useDora, fromInitial, name };
  const { magnitude } = loaded;
  return () =>
    new LoraModule(target, settings, {
      ...trained,
      ...(initial && { initial }),
      ...(magnitude && { magnitude }),
    });
}

function fail({ path }: Target, problem: string): never {
  throw new CheckpointError(`loadAdapter: ${path} ${problem}; nothing was changed`);
}

/** `[A | A₀]` and `[B; −B₀]` apart. */
function splitInitial(target: Target, { A, B, width }: LoadedLora) {
  if (width % 2 !== 0) fail(target, `must have an even rank with initial factors, got ${width}`);
  const half = width / 2;
  const { inSize, outSize } = target;
  const columns = (from: number) => {
    const part = new Float32Array(inSize * half);
    for (let row = 0; row < inSize; row++) {
      const at = row * width + from;
      part.set(A.subarray(at, at + half), row * half);
    }
    return part;
  };
  const trained: InitialFactors = { A: columns(0), B: B.slice(0, half * outSize) };
  const initial: InitialFactors = { A: columns(half), B: B.slice(half * outSize).map((x) => -x) };
  return { trained, initial, width: half };
}
