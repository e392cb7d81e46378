/** Decaying two-dimensional turbulence in frames: ten known ones, ten that follow. */
import { HostNavierStokes2D, mcwilliamsVorticity } from '@orth/operators';
import { slice, type Tensor, tensor, tidy } from '@tensorflow/tfjs-core';

/** The flow: box 2π, frames every {@link FRAME_TIME}. */
export const VISCOSITY = 0.01;
export const FRAME_TIME = 0.05;
const [DT, WARM_UP, PEAK, FRAMES] = [0.01, 50, 3, 10];

/** Trajectories cut into what is known and what follows, each `[count, 10, n, n]`. */
export interface Trajectories {
  readonly known: Tensor;
  readonly next: Tensor;
}

/** As said in a row's setting. */
export const describeTurbulence = (n: number) =>
  `decaying McWilliams turbulence ${n}x${n}, peak ${PEAK}, nu ${VISCOSITY}, ${FRAMES} frames in, ${FRAMES} out, every ${FRAME_TIME}`;

/** `count` trajectories from random states that no other `seed` has. */
export function turbulence(n: number, count: number, seed: number): Trajectories {
  const solver = new HostNavierStokes2D({ n, viscosity: VISCOSITY });
  const frames = new Float32Array(count * 2 * FRAMES * n * n);
  const every = Math.round(FRAME_TIME / DT);
  for (let i = 0; i < count; i++) {
    const w0 = mcwilliamsVorticity({ n, peakWavenumber: PEAK, seed: 10_000 * seed + i });
    const warm = solver.solve(w0, { dt: DT, steps: WARM_UP }).w;
    const steps = 2 * FRAMES * every;
    frames.set(solver.solve(warm, { dt: DT, steps, saveEvery: every }).w, i * 2 * FRAMES * n * n);
  }
  return tidy(() => {
    const all = tensor(frames, [count, 2 * FRAMES, n, n]);
    const part = (at: number) => slice(all, [0, at, 0, 0], [count, FRAMES, n, n]);
    return { known: part(0), next: part(FRAMES) };
  });
}
