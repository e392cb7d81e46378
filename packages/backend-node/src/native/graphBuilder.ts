import type { Attribute, OnnxConstant, OnnxGraph, OnnxNode } from './onnxModel.js';

/** Name of a tensor in a graph that is being built. */
export type Value = string;

/** Options of {@link GraphBuilder.gemm}: `alpha · op(a) op(b) + beta · add`. */
export interface GemmOptions {
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
  readonly alpha?: number;
  readonly add?: Value;
  readonly beta?: number;
}

/** Writes graphs as mathematics is written: each call adds a node and returns the name of its result. */
export class GraphBuilder {
  readonly #nodes: OnnxNode[] = [];
  readonly #constants = new Map<string, OnnxConstant>();

  constructor(readonly inputs: readonly Value[]) {}

  /** Any operator with one result. */
  op(
    operator: string,
    inputs: readonly Value[],
    attributes: Record<string, Attribute> = {},
  ): Value {
    const output = `t${this.#nodes.length}`;
    this.#nodes.push({ operator, inputs, outputs: [output], attributes });
    return output;
  }

  /** A tensor cut along an axis; one part is the tensor itself. */
  split(x: Value, axis: number, sizes: readonly number[]): Value[] {
    if (sizes.length === 1) return [x];
    const node = this.#nodes.length;
    const outputs = sizes.map((_, i) => `t${node}_${i}`);
    const inputs = [x, this.integers(...sizes)];
    this.#nodes.push({ operator: 'Split', inputs, outputs, attributes: { axis } });
    return outputs;
  }

  /** A number, as a tensor of rank 0. */
  scalar(value: number): Value {
    const name = `c${value}`;
    this.#constants.set(name, { name, type: 'float32', data: [value] });
    return name;
  }

  /** A list of integers, as operators take axes. */
  integers(...data: number[]): Value {
    const name = `i${data.join('_')}`;
    this.#constants.set(name, { name, type: 'int64', dims: [data.length], data });
    return name;
  }

  /** A matrix product with everything that BLAS adds to one in the same pass. */
  gemm(a: Value, b: Value, options: GemmOptions = {}): Value {
    const { transposeA = false, transposeB = false, alpha = 1, add, beta = 1 } = options;
    return this.op('Gemm', add === undefined ? [a, b] : [a, b, add], {
      transA: Number(transposeA),
      transB: Number(transposeB),
      alpha: { float: alpha },
      beta: { float: beta },
    });
  }

  /** The graph, with `output` as its result. */
  build(output: Value): OnnxGraph {
    return {
      inputs: this.inputs,
      outputs: [output],
      nodes: this.#nodes,
      constants: [...this.#constants.values()],
    };
  }
}
