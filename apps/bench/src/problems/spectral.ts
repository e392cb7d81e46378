/** Two-dimensional transforms and pseudo-spectral steps, ours and NumPy's. */
import {
  HostNavierStokes2D,
  mcwilliamsVorticity,
  NavierStokes2D,
  RealFft2D,
  rfft2,
} from '@orth/operators';
import { tensor } from '@tensorflow/tfjs-core';
import type { BenchCase, BenchContext } from '../harness/bench.js';
import { inProcess, type Peer } from '../harness/contestant.js';
import type { HostTensor } from '../harness/pythonPeers.js';

const relative = (got: ArrayLike<number>, want: ArrayLike<number>): number => {
  let [difference, size] = [0, 0];
  for (let i = 0; i < want.length; i++) {
    difference = Math.max(difference, Math.abs(got[i]! - want[i]!));
    size = Math.max(size, Math.abs(want[i]!));
  }
  return difference / size;
};

/** The peer on one thread: NumPy's transforms use no more. */
async function numpy(
  context: BenchContext,
  peer: Parameters<BenchContext['python']['torch']>[0],
): Promise<Peer> {
  return (await context.python.torch(peer))[0]!;
}

/** Half spectrum of a field by the definition, one axis after the other, float64: real parts, then imaginary ones. */
function definition(x: ArrayLike<number>, n: number): Float64Array {
  const half = Math.floor(n / 2) + 1;
  const wave = Float64Array.from({ length: n }, (_, k) => (2 * Math.PI * k) / n);
  const [re, im] = [new Float64Array(n * half), new Float64Array(n * half)];
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < half; k++) {
      for (let j = 0; j < n; j++) {
        const angle = wave[(j * k) % n]!;
        re[i * half + k]! += x[i * n + j]! * Math.cos(angle);
        im[i * half + k]! -= x[i * n + j]! * Math.sin(angle);
      }
    }
  }
  const out = new Float64Array(2 * n * half);
  for (let q = 0; q < n; q++) {
    for (let i = 0; i < n; i++) {
      const [c, s] = [Math.cos(wave[(q * i) % n]!), -Math.sin(wave[(q * i) % n]!)];
      for (let k = 0; k < half; k++) {
        const [a, b] = [re[i * half + k]!, im[i * half + k]!];
        out[q * half + k]! += a * c - b * s;
        out[n * half + q * half + k]! += a * s + b * c;
      }
    }
  }
  return out;
}

/** Real transforms: one field in float64 on the host, and a batch of tensors. */
export function fftCases(context: BenchContext): BenchCase[] {
  const errorMeasure = 'greatest error of a coefficient, by the greatest one';
  const field = (key: number, count: number): Float32Array => {
    const random = context.random(key);
    return Float32Array.from({ length: count }, () => random.normal());
  };
  const peerOf = (x: HostTensor, want: Float64Array) =>
    numpy(context, {
      script: 'fft2',
      label: 'numpy.fft.rfft2, float64',
      params: {},
      inputs: { x },
      error: ([re, im]) => {
        const first = want.length / 2;
        return relative([...re!.data.slice(0, first), ...im!.data.slice(0, first)], want);
      },
    });
  const host = (n: number): BenchCase => ({
    name: 'operators/fft2-host',
    size: `${n}x${n}`,
    errorMeasure,
    async prepare() {
      const data = field(n, n * n);
      const want = definition(data, n);
      const fft = new RealFft2D(n);
      const spectrum = fft.emptySpectrum();
      const x = Float64Array.from(data);
      // Ours keeps half of x: the transform of the transposed field is the transposed one.
      const turned = x.map((_, i) => x[(i % n) * n + Math.floor(i / n)]!);
      return {
        ours: inProcess(
          'RealFft2D, float64',
          () => fft.forward(x, spectrum),
          () => {
            fft.forward(turned, spectrum);
            return relative([...spectrum.re, ...spectrum.im], want);
          },
        ),
        peers: [await peerOf({ shape: [n, n], data }, want)],
      };
    },
  });
  const batch = (n: number, count: number): BenchCase => ({
    name: 'operators/fft2-tensor',
    size: `${count}x(${n}x${n})`,
    errorMeasure,
    async prepare() {
      const data = field(n + 1, count * n * n);
      const want = definition(data, n);
      const x = tensor(data, [count, n, n]);
      const run = async () => {
        const { re, im } = rfft2(x);
        const values = await Promise.all([re.data(), im.data()]);
        re.dispose();
        im.dispose();
        return values;
      };
      return {
        ours: inProcess('rfft2, float32', run, async () => {
          const first = want.length / 2;
          const [re, im] = await run();
          return relative([...re!.slice(0, first), ...im!.slice(0, first)], want);
        }),
        peers: [await peerOf({ shape: [count, n, n], data }, want)],
        dispose: () => x.dispose(),
      };
    },
  });
  const sizes = context.quick ? [64] : [64, 100, 256];
  return [
    ...sizes.map(host),
    ...(context.quick ? [batch(32, 64)] : [batch(32, 64), batch(64, 64), batch(128, 16)]),
  ];
}

const [STEPS, DT, VISCOSITY] = [10, 0.005, 1e-3];

/** Ten steps of `rk4-cn`: one field in float64 on the host, and a batch of tensors. */
export function navierStokesCases(context: BenchContext): BenchCase[] {
  const errorMeasure = 'greatest difference to float64 with a quarter of the step, by max|w|';
  const starts = (n: number, count: number) =>
    Array.from({ length: count }, (_, i) => mcwilliamsVorticity({ n, seed: n + i }));
  const physics = (n: number) => ({ n, viscosity: VISCOSITY });
  const reference = (n: number, w: Float64Array) =>
    new HostNavierStokes2D(physics(n)).solve(w, { dt: DT / 4, steps: 4 * STEPS }).w;
  const peerOf = (w: HostTensor, want: Float64Array) =>
    numpy(context, {
      script: 'navier_stokes',
      label: 'the same steps in NumPy, float64',
      params: { dt: DT, steps: STEPS, viscosity: VISCOSITY },
      inputs: { w },
      error: ([own]) => relative(own!.data.slice(0, want.length), want),
    });
  const options = { dt: DT, steps: STEPS };
  const host = (n: number): BenchCase => ({
    name: 'operators/navier-stokes-host',
    size: `${n}x${n}, ${STEPS} steps`,
    errorMeasure,
    async prepare() {
      const [w] = starts(n, 1) as [Float64Array];
      const want = reference(n, w);
      const solver = new HostNavierStokes2D(physics(n));
      return {
        ours: inProcess(
          'HostNavierStokes2D, float64',
          () => solver.solve(w, options),
          () => relative(solver.solve(w, options).w, want),
        ),
        peers: [await peerOf({ shape: [n, n], data: Float32Array.from(w) }, want)],
      };
    },
  });
  const batch = (n: number, count: number): BenchCase => ({
    name: 'operators/navier-stokes-tensor',
    size: `${count}x(${n}x${n}), ${STEPS} steps`,
    errorMeasure,
    async prepare() {
      const all = starts(n, count);
      const want = reference(n, all[0]!);
      const data = Float32Array.from(all.flatMap((w) => [...w]));
      const w0 = tensor(data, [count, n, n]);
      const solver = new NavierStokes2D(physics(n));
      const run = async () => {
        const { w, dwdt } = await solver.solve(w0, options);
        const values = await w.data();
        w.dispose();
        dwdt.dispose();
        return values;
      };
      return {
        ours: inProcess('NavierStokes2D, float32', run, async () =>
          relative((await run()).slice(0, n * n), want),
        ),
        peers: [await peerOf({ shape: [count, n, n], data }, want)],
        dispose() {
          w0.dispose();
          solver.dispose();
        },
      };
    },
  });
  return [
    ...(context.quick ? [64] : [32, 64, 128]).map(host),
    ...(context.quick ? [batch(32, 16)] : [batch(32, 32), batch(64, 16)]),
  ];
}
