/** Orthogonal convolutions: the penalty and its gradient, circular convolution, residuals; existence. */
import {
  circularConv1d,
  circularConv2d,
  convSingularValues,
  lorth,
  orthogonalConvExists,
  residualNorms,
} from '@orth/lora-group';
import type { Adapter } from '@orth/testing';
import { grad, type Tensor, tidy } from '@tensorflow/tfjs-core';

const CASES = ['row', 'column', 'square'];

const penalty: Adapter = async ({ inputs, params, wanted }) => {
  const { kernel, x } = inputs as Record<string, Tensor>;
  const stride = params.stride ?? 1;
  const options = { stride, allowEven: true };
  const tensors = tidy(() => ({
    lorth: lorth(kernel!, options),
    grad: grad((k: Tensor) => lorth(k, options))(kernel!),
    ...(x && {
      [kernel!.rank === 3 ? 'conv1dY' : 'conv2dY']:
        kernel!.rank === 3
          ? circularConv1d(x, kernel!, stride)
          : circularConv2d(x, kernel!, stride),
    }),
  }));
  const dim = kernel!.rank - 2;
  const [C, M] = kernel!.shape.slice(dim) as [number, number];
  const S: number[] = Array.isArray(stride) ? stride : Array.from({ length: dim }, () => stride);
  const N = params.N ?? (x ? x.shape[1]! / S[0]! : 1);
  const values = await convSingularValues(kernel!, { size: S.map((s) => s * N), stride });
  const { fro, spectral } = residualNorms(values);
  // Of the theorem, not by our function: that gives √(a · lorth) only.
  const row = kernel!.shape
    .slice(0, dim)
    .reduce((most, k, i) => most * (2 * Math.floor((k - 1) / S[i]!) + 1), M);
  const column = kernel!.shape.slice(0, dim).reduce((most, k) => most * (2 * k - 1), C);
  const square = C * S.reduce((a, b) => a * b, 1);
  const alphaBound = M === square ? Math.min(row, column) : M < square ? row : column;
  const conv = wanted.find((name) => /^conv.*Y$|^y$/.test(name));
  const y = Object.entries(tensors).find(([name]) => name.startsWith('conv'))?.[1];
  return {
    ...tensors,
    ...(conv && y && { [conv]: y }),
    fro2: fro * fro,
    spectral,
    sigmaMin: values[values.length - 1]!,
    sigmaMax: values[0]!,
    alphaBound,
  };
};

const existence: Adapter = async ({ inputs, params }) => {
  const read = async (name: string) => [...(await inputs[name]!.data())];
  const [M, C, k, S] = await Promise.all(['M', 'C', 'k', 'S'].map(read));
  const answers = M!.map((outChannels, i) =>
    orthogonalConvExists({
      inChannels: C![i]!,
      outChannels,
      kernel: k![i]!,
      stride: S![i]!,
      dim: params.dim ?? 2,
      padding: params.padding ?? 'circular',
      ...(params.size !== undefined && { size: params.size }),
    }),
  );
  return {
    exists: answers.map(({ exists }) => Number(exists)),
    case: answers.map((each) => CASES.indexOf(each.case)),
  };
};

export const adapters: Record<string, Adapter> = {
  'lora-group/orth-conv/lorth': penalty,
  'lora-group/orth-conv/existence': existence,
};
