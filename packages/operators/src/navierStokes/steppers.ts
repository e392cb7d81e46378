/**
 * Time steps that treat advection explicitly and the linear term ℓ implicitly (Crank–Nicolson), as increments:
 * `δ = A(ℓ) h + B(ℓ) ŵ` with `h` the accumulated explicit part. The increment is kept apart from the state because
 * float32 loses most of `w_{n+1} − w_n` when it is taken afterwards.
 */

/** How a step is made. */
export type Stepper = 'rk4-cn' | 'rk2-cn' | 'imex-cn';

/** The steppers, default first. */
export const STEPPERS: readonly Stepper[] = ['rk4-cn', 'rk2-cn', 'imex-cn'];

/** One stage: `h ← carry · h + explicit(ŵ)`, then `ŵ ← ŵ + (a h + 2m ℓ ŵ) / (1 − m ℓ)`; a and m are times dt. */
export interface LowStorageStage {
  readonly carry: number;
  readonly a: number;
  readonly m: number;
}

/** Carpenter and Kennedy 1994, "Fourth-order 2N-storage Runge–Kutta schemes", solution 3, five stages. */
const ALPHA = [0, 0.1496590219993, 0.3704009573644, 0.6222557631345, 0.9582821306748, 1];
const BETA = [0, -0.4178904745, -1.192151694643, -1.697784692471, -1.514183444257];
const GAMMA = [0.1496590219993, 0.3792103129999, 0.8229550293869, 0.6994504559488, 0.1530572479681];

/** The stages of `rk4-cn`. */
export const RK4_STAGES: readonly LowStorageStage[] = GAMMA.map((a, k) => ({
  carry: BETA[k]!,
  a,
  m: (ALPHA[k + 1]! - ALPHA[k]!) / 2,
}));

/** `A` and `B` of an increment for one linear symbol ℓ. */
export interface Increment {
  readonly explicit: number;
  readonly linear: number;
}

/** Increment of a Crank–Nicolson stage: `(a dt h + 2 m dt ℓ ŵ) / (1 − m dt ℓ)`. */
export function increment(symbol: number, dt: number, a: number, m: number): Increment {
  const denominator = 1 - m * dt * symbol;
  return { explicit: (a * dt) / denominator, linear: (2 * m * dt * symbol) / denominator };
}
