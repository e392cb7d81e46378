import { conv2d, engine, type Tensor, type Tensor4D } from '@tensorflow/tfjs-core';
import type { BenchCase, BenchContext } from '../harness/bench.js';
import { type Contestant, inProcess, type Peer } from '../harness/contestant.js';
import { isSynchronous, takeToHost, toDevice } from '../harness/deviceTensor.js';
import { jaxJs } from '../harness/jaxJs.js';
import { plainTfjsContestant, plainTfjsName } from '../harness/plainTfjs.js';
import type { HostTensor } from '../harness/pythonPeers.js';

/** A 3×3 convolution with stride 1 and padding 'same'. */
export interface Convolution {
  readonly images: number;
  /** Height and width. */
  readonly side: number;
  readonly channels: number;
  readonly outChannels: number;
}

type Pass = 'forward' | 'backward';

interface Data {
  readonly x: HostTensor;
  readonly filter: HostTensor;
  readonly dy: HostTensor;
}

const TAPS = 3;
const CHECKED = 60;

/** An entry of the output, or of a gradient, by the definition and in float64. */
function entryOf({ x, filter, dy }: Data, which: 'y' | 'dx' | 'dw', index: number): number {
  const [images, side, , channels] = x.shape as [number, number, number, number];
  const outChannels = filter.shape[3]!;
  const pixel = (i: number, row: number, column: number) => (i * side + row) * side + column;
  const inside = (row: number, column: number) =>
    row >= 0 && row < side && column >= 0 && column < side;
  let sum = 0;
  if (which === 'dw') {
    const tap = Math.floor(index / (channels * outChannels));
    const [p, q] = [Math.floor(tap / TAPS), tap % TAPS];
    const [c, o] = [Math.floor(index / outChannels) % channels, index % outChannels];
    for (let i = 0; i < images; i++) {
      for (let r = 0; r < side; r++) {
        for (let s = 0; s < side; s++) {
          const [row, column] = [r + p - 1, s + q - 1];
          if (!inside(row, column)) continue;
          const left = x.data[pixel(i, row, column) * channels + c]!;
          sum += left * dy.data[pixel(i, r, s) * outChannels + o]!;
        }
      }
    }
    return sum;
  }
  const depth = which === 'y' ? outChannels : channels;
  const [at, d] = [Math.floor(index / depth), index % depth];
  const [i, row, column] = [Math.floor(at / side ** 2), Math.floor(at / side) % side, at % side];
  for (let p = 0; p < TAPS; p++) {
    for (let q = 0; q < TAPS; q++) {
      // The gradient of the input reads the output's gradient through the filter turned round.
      const sign = which === 'y' ? 1 : -1;
      const [r, s] = [row + sign * (p - 1), column + sign * (q - 1)];
      if (!inside(r, s)) continue;
      const tap = (p * TAPS + q) * channels * outChannels;
      for (let other = 0; other < (which === 'y' ? channels : outChannels); other++) {
        sum +=
          which === 'y'
            ? x.data[pixel(i, r, s) * channels + other]! *
              filter.data[tap + other * outChannels + d]!
            : dy.data[pixel(i, r, s) * outChannels + other]! *
              filter.data[tap + d * outChannels + other]!;
      }
    }
  }
  return sum;
}

/** Greatest difference to float64 over the greatest entry, at places spread over the results. */
function errorOf(data: Data, pass: Pass, results: readonly HostTensor[]): number {
  const names = pass === 'forward' ? (['y'] as const) : (['dx', 'dw'] as const);
  const errors = names.map((name, r) => {
    const { data: got } = results[r]!;
    let [worst, scale] = [0, 0];
    for (let c = 0; c < CHECKED; c++) {
      const at = Math.floor((c * 0.618034 * got.length) % got.length);
      const want = entryOf(data, name, at);
      worst = Math.max(worst, Math.abs(want - got[at]!));
      scale = Math.max(scale, Math.abs(want));
    }
    return worst / scale;
  });
  return Math.max(...errors);
}

/** The pass on whatever backend is active while this is called. */
function onTensors(name: string, host: Data, pass: Pass): Contestant & { dispose(): void } {
  const [x, filter, dy] = [host.x, host.filter, host.dy].map(toDevice) as [
    Tensor4D,
    Tensor4D,
    Tensor4D,
  ];
  const attrs = { strides: [1, 1], pad: 'same', dataFormat: 'NHWC' };
  const gradient = (kernel: string, inputs: Record<string, Tensor>, more: object) =>
    engine().runKernel(kernel, inputs, { ...attrs, ...more }) as Tensor;
  const run = (): Tensor[] =>
    pass === 'forward'
      ? [conv2d(x, filter, 1, 'same')]
      : [
          gradient('Conv2DBackpropInput', { dy, filter }, { inputShape: x.shape }),
          gradient('Conv2DBackpropFilter', { x, dy }, { filterShape: filter.shape }),
        ];
  const once = () => {
    const results = run();
    const done = isSynchronous() ? undefined : Promise.all(results.map((r) => r.data()));
    const free = () => {
      for (const result of results) result.dispose();
    };
    return done ? done.then(free) : free();
  };
  return {
    ...inProcess(name, once, async () =>
      errorOf(host, pass, await Promise.all(run().map(takeToHost))),
    ),
    dispose() {
      for (const tensor of [x, filter, dy]) tensor.dispose();
    },
  };
}

/** A pass of a convolution on the active backend, in tfjs alone, in jax-js and in PyTorch. */
export function convolutionCase(
  context: BenchContext,
  { images, side, channels, outChannels }: Convolution,
  pass: Pass,
): BenchCase {
  return {
    name: `backends/conv3x3-${pass}`,
    size: `${images}x${side}x${side}x${channels}->${outChannels}`,
    errorMeasure: 'greatest |difference| to float64 over the greatest |entry|, 60 entries',
    async prepare() {
      const random = context.random(images * 7919 + side * 31 + channels);
      const gaussian = (shape: number[]): HostTensor => ({
        shape,
        data: Float32Array.from({ length: shape.reduce((total, n) => total * n, 1) }, () =>
          random.normal(),
        ),
      });
      const data: Data = {
        x: gaussian([images, side, side, channels]),
        filter: gaussian([TAPS, TAPS, channels, outChannels]),
        dy: gaussian([images, side, side, outChannels]),
      };
      const ours = onTensors(pass === 'forward' ? 'conv2d' : 'both gradients', data, pass);
      const peers: Peer[] = [
        await plainTfjsContestant(() => onTensors(plainTfjsName(), data, pass)).then(
          async (peer): Promise<Peer> => {
            if (pass === 'forward' || context.backend === 'cpu') return peer;
            await peer.dispose?.();
            return { name: peer.name, absent: 'it has no kernel Conv2DBackpropFilter on wasm' };
          },
        ),
      ];
      return {
        ours,
        peers: [
          ...peers,
          ...(pass === 'forward' ? [await convolutionInJaxJs(data)] : []),
          ...(await context.python.torch({
            script: 'conv2d',
            params: { pass },
            inputs: { ...data },
            error: (outputs) => errorOf(data, pass, outputs),
          })),
        ],
        dispose: () => ours.dispose(),
      };
    },
  };
}

/** jax-js convolves in the order NCHW, into which the inputs are brought before the timing. */
function convolutionInJaxJs(data: Data): Promise<Peer> {
  const [images, side] = data.x.shape as [number, number];
  const outChannels = data.filter.shape[3]!;
  const x = permuted(data.x, [0, 3, 1, 2]);
  const filter = permuted(data.filter, [3, 2, 0, 1]);
  return jaxJs({
    inputs: [x, filter],
    compute: ({ lax }, input, weight) => lax.conv(input, weight, [1, 1], 'SAME'),
    error: (output) => {
      const y = permuted(
        { shape: [images, outChannels, side, side], data: output.data },
        [0, 2, 3, 1],
      );
      return errorOf(data, 'forward', [y]);
    },
  });
}

/** A transposed copy on the host. */
function permuted({ shape, data }: HostTensor, permutation: readonly number[]): HostTensor {
  const target = permutation.map((axis) => shape[axis]!);
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((total, n) => total * n, 1));
  const steps = permutation.map((axis) => strides[axis]!);
  const result = new Float32Array(data.length);
  const index = target.map(() => 0);
  for (let at = 0; at < result.length; at++) {
    result[at] = data[index.reduce((sum, i, axis) => sum + i * steps[axis]!, 0)]!;
    for (let axis = target.length - 1; axis >= 0 && ++index[axis]! === target[axis]; axis--) {
      index[axis] = 0;
    }
  }
  return { shape: target, data: result };
}
