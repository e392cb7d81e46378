/** What a backend is for: products, convolutions, orthogonalisation and a whole training step, against other libraries. */
import { orthogonalize } from '@orth/newton-schulz';
import type { Bench, BenchCase, BenchContext } from '../harness/bench.js';
import { inProcess } from '../harness/contestant.js';
import { execute, takeToHost, toDevice } from '../harness/deviceTensor.js';
import type { HostTensor } from '../harness/pythonPeers.js';
import { type Convolution, convolutionCase } from '../problems/convolution.js';
import { type Product, productCase } from '../problems/product.js';
import { raceStepCase } from '../problems/raceStep.js';
import { matrix64, relativeError } from '../reference/matrix64.js';
import { muonOrthogonalize64 } from '../reference/newtonSchulz64.js';

const square = (n: number): Product => ({ label: `${n}`, a: [n, n], b: [n, n] });

const PRODUCTS: Product[] = [
  ...[16, 128, 256, 512, 1024, 2048].map(square),
  { label: '768x3072 XXᵀ', a: [768, 3072], b: [768, 3072], transposeB: true },
  { label: '12x(64x768x64)', a: [12, 64, 768], b: [12, 768, 64] },
];
const QUICK_PRODUCTS: Product[] = [...[16, 128, 512].map(square), PRODUCTS.at(-1)!];

const CONVOLUTIONS: Convolution[] = [
  { images: 32, side: 28, channels: 32, outChannels: 64 },
  { images: 8, side: 56, channels: 64, outChannels: 64 },
  { images: 32, side: 14, channels: 128, outChannels: 128 },
];

const SHAPES: [number, number][] = [
  [512, 512],
  [1024, 1024],
  [768, 3072],
];

/** Muon's five steps: the same result as in PyTorch, in whichever form is cheaper. */
function orthogonalizeCase(context: BenchContext, [rows, columns]: [number, number]): BenchCase {
  return {
    name: 'backends/orthogonalize',
    size: `${rows}x${columns}`,
    errorMeasure: 'distance to the same five steps in float64, relative (Frobenius)',
    async prepare() {
      const random = context.random(rows * 4099 + columns);
      const data = Float32Array.from({ length: rows * columns }, () => random.normal());
      const input: HostTensor = { shape: [rows, columns], data };
      const want = muonOrthogonalize64(matrix64(rows, columns, data));
      const error = (result: HostTensor) => relativeError(result.data, want.data);
      const x = toDevice(input);
      return {
        ours: inProcess(
          'orthogonalize',
          () => execute(() => orthogonalize(x)),
          async () => error(await takeToHost(orthogonalize(x))),
        ),
        peers: await context.python.torch({
          script: 'newton_schulz',
          params: { method: 'muon', steps: 5 },
          inputs: { x: input },
          error: ([output]) => error(output!),
        }),
        dispose: () => x.dispose(),
      };
    },
  };
}

export const bench: Bench = {
  name: 'backends',
  description: 'products, convolutions, orthogonalisation, a training step: tfjs, jax-js, PyTorch',
  cases(context) {
    const { quick } = context;
    const convolutions = quick ? CONVOLUTIONS.slice(0, 1) : CONVOLUTIONS;
    const shapes = quick ? SHAPES.slice(0, 1) : SHAPES;
    return [
      ...(quick ? QUICK_PRODUCTS : PRODUCTS).map((product) => productCase(context, product)),
      ...convolutions.flatMap((convolution) =>
        (['forward', 'backward'] as const).map((pass) =>
          convolutionCase(context, convolution, pass),
        ),
      ),
      ...shapes.map((shape) => orthogonalizeCase(context, shape)),
      raceStepCase(context, quick ? 'tiny' : 'small'),
    ];
  },
};
