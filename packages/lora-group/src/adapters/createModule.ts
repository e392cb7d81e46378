import { checkInteger, type Random } from '@orth/backend';
import {
  factorsOfWeight,
  type InitialFactors,
  randomFactors,
  startsFromWeight,
} from '../lora/initializers.js';
import type { AdapterModule } from './adapterModule.js';
import { checkGraloraTarget, GraloraModule, graloraStart } from './graloraModule.js';
import { LoraModule } from './loraModule.js';
import { listNames, lookUp } from './matchTargets.js';
import { checkOftTarget, OftModule } from './oftModule.js';
import type { ResolvedOptions } from './options.js';
import type { Target } from './target.js';

/** Rank and alpha of an adapter at a target. */
export function scaleOf({ path }: Target, options: ResolvedOptions) {
  const r = lookUp(options.rankPattern, path) ?? options.r;
  return { r, alpha: lookUp(options.alphaPattern, path) ?? options.alpha ?? r };
}

/**
 * Demands targets that can take an adapter of these options, before anything is made.
 * @throws RangeError naming the target at fault
 */
export function checkTargets(
  caller: string,
  targets: readonly Target[],
  options: ResolvedOptions,
): void {
  const { method, k, blockSize, dropout, useDora } = options;
  for (const target of targets) {
    const { path, inSize, outSize, kind } = target;
    if (method === 'oft') checkOftTarget(caller, target, blockSize);
    if (method === 'gralora') checkGraloraTarget(caller, target, k);
    if (method !== 'oft') {
      const max = Math.min(inSize, outSize);
      checkInteger(caller, `r for ${path} of [${inSize}, ${outSize}]`, scaleOf(target, options).r, {
        min: 1,
        max,
      });
    }
    // Where the weight itself is replaced, the input never passes the adapter.
    const reachesInput = kind === 'dense' || (kind === 'conv' && method === 'lora');
    if (dropout > 0 && !reachesInput && kind !== 'embedding') {
      throw new RangeError(
        `${caller}: dropout must be 0 for ${path}, whose input the adapter does not see, got ${dropout}`,
      );
    }
    if (useDora && kind === 'weight' && target.variable.rank !== 2) {
      throw new RangeError(
        `${caller}: useDora must be false for ${path}, whose weight is no matrix`,
      );
    }
  }
  const stray = Object.keys({ ...options.rankPattern, ...options.alphaPattern }).filter(
    (name) => !targets.some(({ path }) => lookUp({ [name]: 1 }, path)),
  );
  if (stray.length > 0) {
    throw new RangeError(
      `${caller}: rankPattern and alphaPattern must name targets, got ${listNames(stray)}`,
    );
  }
}

/**
 * An adapter's part at a target, with initial values.
 * @param values - of the weight, where the initialisation needs them
 */
export function createModule(
  target: Target,
  options: ResolvedOptions,
  name: string,
  random: Random,
  values?: ArrayLike<number>,
): AdapterModule {
  const { method, n, useRslora, useDora, init, k, blockSize, neumannTerms } = options;
  if (method === 'oft') return new OftModule(target, { blockSize, neumannTerms, name });
  const scale = scaleOf(target, options);
  if (method === 'gralora') {
    const start = graloraStart(target, k, scale.r, random);
    return new GraloraModule(target, { ...scale, k, name }, start);
  }
  const fromInitial = startsFromWeight(init);
  const settings = { ...scale, n, useRslora, useDora, fromInitial, name };
  return new LoraModule(target, settings, startOf(target, options, scale, random, values));
}

function startOf(
  target: Target,
  { init, n, useRslora }: ResolvedOptions,
  { r, alpha }: { readonly r: number; readonly alpha: number },
  random: Random,
  values?: ArrayLike<number>,
): InitialFactors {
  const { inSize, outSize, kind } = target;
  if (init === 'pissa' || init === 'olora') {
    // A group starts from consecutive triplets; beyond the weight's own rank from nothing.
    const width = n * r;
    const rank = Math.min(width, inSize, outSize);
    const scaling = alpha / (useRslora ? Math.sqrt(r) : r);
    const found = factorsOfWeight(init, values!, target, rank, scaling);
    return rank === width ? found : widen(found, target, rank, width);
  }
  if (kind === 'embedding' && (init === 'kaiming' || init === 'gaussian')) {
    // A row of A is read per token: zeros there, and normal numbers in B.
    return {
      A: new Float32Array(inSize * n * r),
      B: Float32Array.from({ length: n * r * outSize }, () => random.normal()),
    };
  }
  const parts = Array.from({ length: n }, () => randomFactors(init, target, r, random));
  return joinParts(parts, target, r);
}

/** `n` updates side by side: `A [in, n r]`, `B [n r, out]`. */
function joinParts(
  parts: readonly InitialFactors[],
  { inSize, outSize }: Target,
  r: number,
): InitialFactors {
  if (parts.length === 1) return parts[0]!;
  const width = parts.length * r;
  const A = new Float32Array(inSize * width);
  const B = new Float32Array(width * outSize);
  parts.forEach((part, i) => {
    for (let row = 0; row < inSize; row++) {
      A.set(part.A.subarray(row * r, (row + 1) * r), row * width + i * r);
    }
    B.set(part.B, i * r * outSize);
  });
  return { A, B };
}

function widen(
  { A, B }: InitialFactors,
  { inSize, outSize }: Target,
  from: number,
  to: number,
): InitialFactors {
  const wideA = new Float32Array(inSize * to);
  for (let row = 0; row < inSize; row++) {
    wideA.set(A.subarray(row * from, (row + 1) * from), row * to);
  }
  const wideB = new Float32Array(to * outSize);
  wideB.set(B);
  return { A: wideA, B: wideB };
}
