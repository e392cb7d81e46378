import type { Random } from '@orth/backend';
import {
  add,
  eye,
  matMul,
  mul,
  sigmoid,
  slice,
  type Tensor,
  tensor,
  tidy,
  type Variable,
  variable,
  zeros,
} from '@tensorflow/tfjs-core';
import { freeName } from '../adapters/target.js';
import { orthonormalRows } from '../lora/hostMatrices.js';
import { matrixExp } from '../orthoRegs/matrixExp.js';
import { skewSymmetric } from '../orthoRegs/skewSymmetric.js';

/**
 * Form of a map between embedding spaces of m features. `'orthogonal'`: `h W₀ exp(P)`, strictly; `'lambda'` and `'affine'`:
 * `h W + b`, the former with a penalty elsewhere; `'lowRank'`: `(h U) V + b`; `'mlp'`: `h + φ(h W₁ + b₁) W₂ + b₂` with
 * `φ(x) = x σ(1.702 x)`.
 */
export type EmbeddingMapForm = 'orthogonal' | 'lambda' | 'affine' | 'lowRank' | 'mlp';

/** Sizes of a map. */
export interface EmbeddingMapSizes {
  /** Features read; the residual form passes on the first `outputs` of them. */
  readonly inputs: number;
  readonly outputs: number;
  readonly rank: number;
  readonly hidden: number;
}

/** How a map starts: as the identity as far as its form allows, or like a layer of a network (Kaiming). */
export type EmbeddingMapStart = 'identity' | 'kaiming';

/** A map between embedding spaces, with its trainable parameters by name. */
export class EmbeddingMap {
  readonly variables: Readonly<Record<string, Variable>>;
  /** What a rotation starts from, instead of the identity. */
  private base: Variable | undefined;

  constructor(
    readonly form: EmbeddingMapForm,
    readonly sizes: EmbeddingMapSizes,
    start: EmbeddingMapStart,
    random: Random,
    private readonly prefix: string,
  ) {
    const make = (name: string, values: Tensor) => {
      const made = variable(values, true, freeName(`${prefix}/${name}`));
      values.dispose();
      return made;
    };
    const first = startValues(form, sizes, start, random);
    this.variables = Object.fromEntries(
      Object.entries(first).map(([name, values]) => [name, make(name, values)]),
    );
  }

  /** `[N, inputs]` to `[N, outputs]`; differentiable. */
  apply(x: Tensor): Tensor {
    const { W, b, U, V, W1, b1, W2, b2 } = this.variables as Record<string, Variable>;
    return tidy(() => {
      switch (this.form) {
        case 'orthogonal':
          return matMul(x, this.matrix());
        case 'lambda':
        case 'affine':
          return add(matMul(x, W!), b!);
        case 'lowRank':
          return add(matMul(matMul(x, U!), V!), b!);
        case 'mlp': {
          const inner = add(matMul(x, W1!), b1!);
          const hidden = mul(inner, sigmoid(mul(inner, 1.702)));
          const kept = slice(x, [0, 0], [-1, this.sizes.outputs]);
          return add(kept, add(matMul(hidden, W2!), b2!));
        }
      }
    });
  }

  /** The linear part, shape `[inputs, outputs]`; null for `'mlp'`. */
  matrix(): Tensor;
  matrix(): Tensor | null {
    const { W, U, V, v } = this.variables as Record<string, Variable>;
    if (this.form === 'orthogonal') {
      return tidy(() => {
        const rotation = matrixExp(skewSymmetric(v!));
        return this.base ? matMul(this.base, rotation) : rotation;
      });
    }
    if (this.form === 'lowRank') return tidy(() => matMul(U!, V!));
    return this.form === 'mlp' ? null : tidy(() => add(W!, 0));
  }

  /** Starts from a square matrix, which for `'orthogonal'` must be so; forms without one stay. */
  startFrom(matrix: Tensor): void {
    const { W } = this.variables;
    if (this.form === 'orthogonal') {
      this.base ??= variable(matrix, false, freeName(`${this.prefix}/base`));
      this.base.assign(matrix);
    } else if (W) {
      W.assign(matrix);
    }
  }

  /** All numbers by name. */
  async values(): Promise<Record<string, number[]>> {
    const all = { ...this.variables, ...(this.base && { base: this.base }) };
    const list = Object.entries(all).map(async ([name, x]) => [name, [...(await x.data())]]);
    return Object.fromEntries(await Promise.all(list));
  }

  /** Whether these are {@link EmbeddingMap.values} of such a map. */
  accepts(values: Readonly<Record<string, readonly number[]>>): boolean {
    const { base, ...rest } = values;
    const m = this.sizes.outputs;
    if (base && (this.form !== 'orthogonal' || base.length !== m * m)) return false;
    const names = Object.keys(this.variables);
    return (
      Object.keys(rest).length === names.length &&
      names.every((name) => rest[name]?.length === this.variables[name]!.size)
    );
  }

  /** Sets all numbers. */
  restore(values: Readonly<Record<string, readonly number[]>>): void {
    tidy(() => {
      for (const [name, x] of Object.entries(this.variables)) {
        x.assign(tensor([...values[name]!], x.shape));
      }
      const m = this.sizes.outputs;
      if (values.base) this.startFrom(tensor([...values.base], [m, m]));
    });
  }

  dispose(): void {
    for (const x of Object.values(this.variables)) x.dispose();
    this.base?.dispose();
  }
}

function startValues(
  form: EmbeddingMapForm,
  { inputs, outputs, rank, hidden }: EmbeddingMapSizes,
  start: EmbeddingMapStart,
  random: Random,
): Record<string, Tensor> {
  const kaiming = (fanIn: number, width: number) =>
    random.normalTensor([fanIn, width], 0, Math.sqrt(2 / fanIn));
  switch (form) {
    case 'orthogonal':
      return { v: zeros([(outputs * (outputs - 1)) / 2]) };
    case 'lambda':
    case 'affine':
      return {
        W: start === 'identity' ? eye(inputs, outputs) : kaiming(inputs, outputs),
        b: zeros([outputs]),
      };
    case 'lowRank': {
      // A projection on random directions and back.
      const directions = orthonormalRows(
        Array.from({ length: rank }, () =>
          Float64Array.from({ length: inputs }, () => random.normal()),
        ),
      );
      const back = directions.flatMap((row) => [...row.subarray(0, outputs)]);
      const there = Array.from({ length: inputs }, (_, i) => directions.map((row) => row[i]!));
      return {
        U: tensor(there.flat(), [inputs, rank]),
        V: tensor(back, [rank, outputs]),
        b: zeros([outputs]),
      };
    }
    case 'mlp':
      return {
        W1: kaiming(inputs, hidden),
        b1: zeros([hidden]),
        W2: zeros([hidden, outputs]),
        b2: zeros([outputs]),
      };
  }
}
