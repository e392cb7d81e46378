import { CheckpointError } from '@orth/backend';
import {
  add,
  concat,
  keep,
  matMul,
  mul,
  neg,
  type Tensor,
  tensor,
  tidy,
  type Variable,
  variable,
} from '@tensorflow/tfjs-core';
import { expectShape, type FileTensor, reshapeFile, sizeOf } from '../files/fileTensor.js';
import { fromTorch, toTorch } from '../files/kernelLayout.js';
import { doraContribution, doraGain, doraMagnitude } from '../lora/dora.js';
import type { InitialFactors } from '../lora/initializers.js';
import { linear } from '../lora/linear.js';
import type { ActivationPath, AdapterModule, ModuleScale } from './adapterModule.js';
import { freeName, matrixOf, type Target } from './target.js';

/** What a {@link LoraModule} is made of. */
export interface LoraModuleOptions extends ModuleScale {
  /** Updates side by side. */
  readonly n: number;
  readonly useRslora: boolean;
  readonly useDora: boolean;
  /** Whether the update is the difference to the initial factors, which are kept. */
  readonly fromInitial: boolean;
  /** Names the variables. */
  readonly name: string;
}

/**
 * Low-rank updates of one weight: `n` of rank `r` side by side as one of rank `n r`, `A [in, n r]` and `B [n r, out]`. With
 * initial factors taken from the weight (PiSSA, OLoRA) the update is `s (A B − A₀ B₀)`: the same function as moving
 * `s A₀ B₀` out of the weight, which here stays as it is, so that adapters can be switched and taken off.
 */
export class LoraModule implements AdapterModule {
  readonly factors: Readonly<Record<string, Variable>>;
  readonly A: Variable;
  readonly B: Variable;
  readonly scaling: number;
  readonly addsToOutput: boolean;
  private readonly magnitude: Variable | undefined;
  private readonly initial: { readonly A: Tensor; readonly B: Tensor } | undefined;

  constructor(
    target: Target,
    readonly options: LoraModuleOptions,
    values: InitialFactors & {
      readonly initial?: InitialFactors;
      readonly magnitude?: Float32Array;
    },
  ) {
    const { r, n, alpha, useRslora, useDora, fromInitial, name } = options;
    const { inSize, outSize } = target;
    const width = n * r;
    const make = (part: string, start: Tensor) => {
      const result = variable(start, true, freeName(`${target.path}/lora_${part}.${name}`));
      start.dispose();
      return result;
    };
    this.scaling = alpha / (useRslora ? Math.sqrt(r) : r);
    this.addsToOutput = target.kind !== 'weight';
    this.A = make('A', tensor(values.A, [inSize, width]));
    this.B = make('B', tensor(values.B, [width, outSize]));
    if (fromInitial) {
      const { A, B } = values.initial ?? values;
      this.initial = {
        A: keep(tensor(A, [inSize, width])),
        B: keep(tensor(B, [width, outSize])),
      };
    }
    if (useDora) {
      // Through the same operations as in each forward pass, so that the gain starts from 1 exactly.
      const start = values.magnitude
        ? tensor(values.magnitude, [outSize])
        : tidy(() => doraMagnitude(add(matrixOf(target), this.product(this.A, this.B))));
      this.magnitude = make('magnitude_vector', start);
    }
    this.factors = {
      A: this.A,
      B: this.B,
      ...(this.magnitude && { magnitude: this.magnitude }),
    };
  }

  /** Rank of the whole group. */
  get width(): number {
    return this.options.n * this.options.r;
  }

  delta(W: Tensor): Tensor {
    return tidy(() => {
      const update = this.product(this.A, this.B);
      return this.magnitude ? doraContribution(W, update, this.gain(this.magnitude, W)) : update;
    });
  }

  contribution(path: ActivationPath): Tensor {
    return tidy(() => {
      const through = (A: Tensor, B: Tensor) => linear(path.project(A), B);
      const trained = through(this.A, this.B);
      const { initial } = this;
      const all = initial ? add(trained, neg(through(initial.A, initial.B))) : trained;
      const low = this.scaling === 1 ? all : mul(all, this.scaling);
      if (!this.magnitude) return low;
      return doraContribution(path.base(), low, this.gain(this.magnitude, path.weight()));
    });
  }

  /** The factors of the whole update as tensors, `s` not applied: `[A | A₀]` and `[B; −B₀]`. */
  joined(): { A: Tensor; B: Tensor } {
    const { A, B, initial } = this;
    if (!initial) return { A, B };
    return { A: concat([A, initial.A], 1), B: concat([B, neg(initial.B)], 0) };
  }

  /** Rank and alpha as a file has them, where the group is one update. */
  fileScale(): ModuleScale {
    const parts = this.options.n * (this.initial ? 2 : 1);
    const { r, alpha, useRslora } = this.options;
    return { r: r * parts, alpha: alpha * (useRslora ? Math.sqrt(parts) : parts) };
  }

  async save(target: Target): Promise<Record<string, FileTensor>> {
    const { A, B } = tidy(() => {
      const joined = this.joined();
      return this.initial ? joined : { A: joined.A.clone(), B: joined.B.clone() };
    });
    const parts = this.magnitude ? [A, B, this.magnitude] : [A, B];
    const files = await Promise.all(
      parts.map(async (x) => ({ shape: x.shape, data: Float32Array.from(await x.data()) })),
    );
    A.dispose();
    B.dispose();
    return loraToFile(target, files[0]!, files[1]!, files[2]);
  }

  dispose(): void {
    for (const x of Object.values(this.factors)) x.dispose();
    this.initial?.A.dispose();
    this.initial?.B.dispose();
  }

  private gain(magnitude: Tensor, W: Tensor): Tensor {
    return doraGain(magnitude, W, [this.A, this.B], ([A, B]) => this.product(A!, B!));
  }

  private product(A: Tensor, B: Tensor): Tensor {
    const { initial } = this;
    const trained = matMul(A, B);
    const all = initial ? add(trained, neg(matMul(initial.A, initial.B))) : trained;
    return mul(all, this.scaling);
  }
}

/** Spatial sizes of a convolution's kernel. */
const spatial = ({ variable: { shape } }: Target) => shape.slice(0, -2);

/** Factors in PEFT's layout, by the ending of their names. */
function loraToFile(
  target: Target,
  A: FileTensor,
  B: FileTensor,
  magnitude?: FileTensor,
): Record<string, FileTensor> {
  const width = A.shape[1]!;
  const { kind, outSize } = target;
  const isConv = kind === 'conv';
  const ones = isConv ? spatial(target).map(() => 1) : [];
  const kernel = isConv ? target.variable.shape.slice(0, -1) : [target.inSize];
  const [a, b] = kind === 'embedding' ? EMBEDDING : PLAIN;
  return {
    [a]: toTorch(reshapeFile(A, [...kernel, width])),
    [b]: reshapeFile(toTorch(B), [outSize, width, ...ones]),
    ...(magnitude && {
      [MAGNITUDE]: reshapeFile(magnitude, isConv ? [1, outSize, ...ones] : [outSize]),
    }),
  };
}

const PLAIN = ['lora_A.weight', 'lora_B.weight'] as const;
const EMBEDDING = ['lora_embedding_A', 'lora_embedding_B'] as const;
const MAGNITUDE = 'lora_magnitude_vector';

/** Factors out of a file, in our layout. */
export interface LoadedLora extends InitialFactors {
  readonly magnitude?: Float32Array;
  /** Rank of the whole. */
  readonly width: number;
}

/**
 * Inverse of {@link loraToFile}.
 * @throws CheckpointError if a part is missing or has a shape that this target cannot take
 */
export function loraFromFile(target: Target, parts: ReadonlyMap<string, FileTensor>): LoadedLora {
  const { kind, inSize, outSize, path } = target;
  const isConv = kind === 'conv';
  const take = (name: string): FileTensor => {
    const part = parts.get(name);
    if (part) return part;
    const rule = `${path}.${name} must be in the file for this model`;
    throw new CheckpointError(`loadAdapter: ${rule}; nothing was changed`);
  };
  const [a, b] = kind === 'embedding' ? EMBEDDING : PLAIN;
  const [A, B, magnitude] = [take(a), take(b), parts.get(MAGNITUDE)];
  const width = A.shape[0] ?? 0;
  const ones = isConv ? spatial(target).map(() => 1) : [];
  const kernel = isConv ? [target.variable.shape.at(-2)!, ...spatial(target)] : [inSize];
  expectShape(`${path}.${a}`, A, [Math.max(1, width), ...kernel]);
  expectShape(`${path}.${b}`, B, [outSize, width, ...ones]);
  if (magnitude && sizeOf(magnitude.shape) !== outSize) {
    expectShape(`${path}.${MAGNITUDE}`, magnitude, [outSize]);
  }
  return {
    A: fromTorch(A).data,
    B: fromTorch(reshapeFile(B, [outSize, width])).data,
    width,
    ...(magnitude && { magnitude: magnitude.data }),
  };
}
