/**
 * `Einsum` of one or two tensors as one batched matrix product. With the labels of `a`, `b` and the result sorted into
 * batch (in all three), rows (only a), columns (only b) and summed (a and b), it is `out[batch, rows, columns] =
 * a[batch, rows, summed] · b[batch, summed, columns]`; labels of one factor alone that the result lacks are summed first.
 */
import { backend_util, type KernelConfig, type TensorInfo, util } from '@tensorflow/tfjs-core';
import { callKernel, type KernelArguments, relabel, type WasmBackend, wasmKernel } from './heap.js';

/** A tensor with a letter for each axis. */
interface Labelled {
  readonly info: TensorInfo;
  readonly labels: string[];
}

/** Kernels on tensor infos, with the temporary results disposed at the end. */
class Workspace {
  private readonly made = new Set<object>();
  constructor(private readonly backend: WasmBackend) {}

  run(kernel: string, inputs: Record<string, TensorInfo>, attrs: object): TensorInfo {
    const out = callKernel(kernel, inputs, attrs, this.backend);
    this.made.add(out.dataId);
    return out;
  }

  /** Brings the axes into the order of `labels`, a permutation of those of `x`. */
  arrange(x: Labelled, labels: string[]): TensorInfo {
    const perm = labels.map((label) => x.labels.indexOf(label));
    if (perm.every((from, to) => from === to)) return x.info;
    return this.run('Transpose', { x: x.info }, { perm });
  }

  /** Sums over the axes that `keep` does not have. */
  reduce(x: Labelled, keep: readonly string[]): Labelled {
    const axis = x.labels.flatMap((label, i) => (keep.includes(label) ? [] : [i]));
    if (axis.length === 0) return x;
    const info = this.run('Sum', { x: x.info }, { axis, keepDims: false });
    return { info, labels: x.labels.filter((label) => keep.includes(label)) };
  }

  /** Hands `out` over to the caller and disposes everything else that was made. */
  finish(out: TensorInfo, inputs: readonly TensorInfo[], shape: number[]): TensorInfo {
    // An input passed straight through must come back as a result with a reference of its own.
    if (inputs.some(({ dataId }) => dataId === out.dataId)) this.backend.incRef(out.dataId);
    for (const dataId of this.made) if (dataId !== out.dataId) this.backend.disposeData(dataId);
    return relabel(out, shape);
  }
}

function einsum({ inputs, attrs, backend }: KernelArguments<{ equation: string }>): TensorInfo {
  const tensors = Object.values(inputs);
  const equation = attrs.equation.replaceAll(/\s/g, '');
  const { allDims, idDims } = backend_util.decodeEinsumEquation(equation, tensors.length);
  backend_util.checkEinsumDimSizes(allDims.length, idDims, tensors as never);
  const [left = '', right = ''] = equation.split('->');
  const out = [...right];
  if (new Set(out).size !== out.length) {
    throw new Error(`einsum: the result must not repeat a label, got '${right}'`);
  }
  const sizes = new Map<string, number>();
  const operands = left.split(',').map((term, i): Labelled => {
    const info = tensors[i]!;
    const labels = [...term];
    if (labels.length !== info.shape.length) {
      throw new Error(`einsum: '${term}' must have ${info.shape.length} labels, one for each axis`);
    }
    for (const [axis, label] of labels.entries()) sizes.set(label, info.shape[axis]!);
    return { info, labels };
  });
  const shape = out.map((label) => sizes.get(label)!);
  const work = new Workspace(backend);
  const [a, b] = operands as [Labelled, Labelled?];
  if (!b) return work.finish(work.arrange(work.reduce(a, out), out), tensors, shape);

  const left2 = work.reduce(a, [...b.labels, ...out]);
  const right2 = work.reduce(b, [...a.labels, ...out]);
  const inBoth = left2.labels.filter((label) => right2.labels.includes(label));
  const batch = inBoth.filter((label) => out.includes(label));
  const summed = inBoth.filter((label) => !out.includes(label));
  const rows = left2.labels.filter((label) => !inBoth.includes(label));
  const columns = right2.labels.filter((label) => !inBoth.includes(label));
  const sizeOf = (labels: string[]) => util.sizeFromShape(labels.map((l) => sizes.get(l)!));
  const [batchSize, m, k, n] = [sizeOf(batch), sizeOf(rows), sizeOf(summed), sizeOf(columns)];
  const x = work.arrange(left2, [...batch, ...rows, ...summed]);
  // Whichever order the right factor is stored in, the product takes it: no transposition of its own.
  const transposeB = right2.labels.join('') === [...batch, ...columns, ...summed].join('');
  const y = work.arrange(right2, transposeB ? right2.labels : [...batch, ...summed, ...columns]);
  const x3 = relabel(x, [batchSize, m, k]);
  const y3 = relabel(y, transposeB ? [batchSize, n, k] : [batchSize, k, n]);
  const isFloat = x.dtype === 'float32' && y.dtype === 'float32';
  let product: TensorInfo;
  if (isFloat && k > 1) {
    product = work.run('BatchMatMul', { a: x3, b: y3 }, { transposeA: false, transposeB });
  } else {
    // Other dtypes, and outer products, by elementwise multiplication.
    const terms = work.run(
      'Multiply',
      {
        a: relabel(x, [batchSize, m, 1, k]),
        b: relabel(transposeB ? y3 : work.run('Transpose', { x: y3 }, { perm: [0, 2, 1] }), [
          batchSize,
          1,
          n,
          k,
        ]),
      },
      {},
    );
    product = k === 1 ? terms : work.run('Sum', { x: terms }, { axis: [3], keepDims: false });
  }
  const order = [...batch, ...rows, ...columns];
  const labelled = {
    info: relabel(
      product,
      order.map((l) => sizes.get(l)!),
    ),
    labels: order,
  };
  return work.finish(work.arrange(labelled, out), tensors, shape);
}

/** The kernel of this file. */
export const einsumKernels = (): KernelConfig[] => [
  wasmKernel<{ equation: string }>('Einsum', einsum),
];
