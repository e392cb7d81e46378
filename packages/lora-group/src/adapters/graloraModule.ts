import { CheckpointError, type Random } from '@orth/backend';
import { type Tensor, tensor, type Variable, variable } from '@tensorflow/tfjs-core';
import { expectShape, type FileTensor } from '../files/fileTensor.js';
import { graloraApply, graloraDelta } from '../lora/gralora.js';
import type { ActivationPath, AdapterModule, ModuleScale } from './adapterModule.js';
import { freeName, type Target } from './target.js';

/** GraLoRA's blocks at one weight: `A [k, in/k, r]`, `B [k, r, out/k]`. */
export class GraloraModule implements AdapterModule {
  readonly factors: Readonly<Record<string, Variable>>;
  readonly addsToOutput: boolean;
  private readonly A: Variable;
  private readonly B: Variable;
  private readonly scaling: number;

  constructor(
    target: Target,
    readonly options: ModuleScale & { readonly k: number; readonly name: string },
    values: { readonly A: Float32Array; readonly B: Float32Array },
  ) {
    const { r, alpha, k, name } = options;
    const { path, inSize, outSize } = target;
    const make = (part: string, data: Float32Array, shape: number[]) => {
      const start = tensor(data, shape);
      const result = variable(start, true, freeName(`${path}/gralora_${part}.${name}`));
      start.dispose();
      return result;
    };
    this.scaling = alpha / r;
    this.addsToOutput = target.kind === 'dense';
    this.A = make('A', values.A, [k, inSize / k, r]);
    this.B = make('B', values.B, [k, r, outSize / k]);
    this.factors = { A: this.A, B: this.B };
  }

  delta(): Tensor {
    return graloraDelta({ A: this.A, B: this.B }, this.scaling);
  }

  contribution({ input }: ActivationPath): Tensor {
    return graloraApply(input!(), { A: this.A, B: this.B }, this.scaling);
  }

  async save(): Promise<Record<string, FileTensor>> {
    const [A, B] = await Promise.all(
      [this.A, this.B].map(async (x) => ({
        shape: x.shape,
        data: Float32Array.from(await x.data()),
      })),
    );
    return { gralora_A: A!, gralora_B: B! };
  }

  dispose(): void {
    this.A.dispose();
    this.B.dispose();
  }
}

/**
 * Demands sides that `k` divides.
 * @throws RangeError naming the target
 */
export function checkGraloraTarget(caller: string, target: Target, k: number): void {
  const { path, inSize, outSize } = target;
  if (inSize % k === 0 && outSize % k === 0) return;
  throw new RangeError(
    `${caller}: k must divide both sides of ${path}, [${inSize}, ${outSize}], got ${k}`,
  );
}

/** Initial values: A uniform in ±1/√(in/k), B zero. */
export function graloraStart({ inSize, outSize }: Target, k: number, r: number, random: Random) {
  const bound = 1 / Math.sqrt(inSize / k);
  return {
    A: Float32Array.from({ length: inSize * r }, () => (2 * random.uniform() - 1) * bound),
    B: new Float32Array(r * outSize),
  };
}

/**
 * Values out of a file.
 * @throws CheckpointError if a part is missing or has another shape
 */
export function graloraFromFile(
  { path, inSize, outSize }: Target,
  parts: ReadonlyMap<string, FileTensor>,
  k: number,
) {
  const [A, B] = [parts.get('gralora_A'), parts.get('gralora_B')];
  if (!A || !B) {
    const rule = `${path} must have gralora_A and gralora_B in the file`;
    throw new CheckpointError(`loadAdapter: ${rule}; nothing was changed`);
  }
  const r = A.shape[2] ?? 0;
  expectShape(`${path}.gralora_A`, A, [k, inSize / k, Math.max(1, r)]);
  expectShape(`${path}.gralora_B`, B, [k, r, outSize / k]);
  return { A: A.data, B: B.data, r };
}
