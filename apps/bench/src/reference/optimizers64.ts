import { matrix64 } from './matrix64.js';
import { muonOrthogonalize64 } from './newtonSchulz64.js';

/** AdamW without decay: equations of Loshchilov and Hutter 2019, Algorithm 2 with λ = 0. */
export interface Adam64 {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
}

/** The parameter after steps with the given gradients from zero, in float64. */
export function adam64(
  gradients: readonly ArrayLike<number>[],
  { learningRate, beta1, beta2, epsilon }: Adam64,
): Float64Array {
  const size = gradients[0]!.length;
  const [weight, m, v] = [
    new Float64Array(size),
    new Float64Array(size),
    new Float64Array(size),
  ] as const;
  for (const [step, gradient] of gradients.entries()) {
    const [correct1, correct2] = [1 - beta1 ** (step + 1), 1 - beta2 ** (step + 1)];
    for (let i = 0; i < size; i++) {
      const g = gradient[i]!;
      m[i] = beta1 * m[i]! + (1 - beta1) * g;
      v[i] = beta2 * v[i]! + (1 - beta2) * g * g;
      weight[i]! -= (learningRate * (m[i]! / correct1)) / (Math.sqrt(v[i]! / correct2) + epsilon);
    }
  }
  return weight;
}

/** Muon's numbers: learning rate times the factor of the shape, and momentum. */
export interface Muon64 {
  readonly learningRate: number;
  readonly momentum: number;
}

/** The matrix after Muon steps (Nesterov, five quintic steps) with the given gradients from zero, in float64. */
export function muon64(
  [rows, columns]: readonly [number, number],
  gradients: readonly ArrayLike<number>[],
  { learningRate, momentum }: Muon64,
): Float64Array {
  const buffer = new Float64Array(rows * columns);
  const weight = new Float64Array(rows * columns);
  for (const gradient of gradients) {
    for (let i = 0; i < buffer.length; i++) {
      buffer[i] = momentum * buffer[i]! + (1 - momentum) * gradient[i]!;
    }
    const nesterov = buffer.map((m, i) => (1 - momentum) * gradient[i]! + momentum * m);
    const update = muonOrthogonalize64(matrix64(rows, columns, nesterov));
    for (let i = 0; i < weight.length; i++) weight[i]! -= learningRate * update.data[i]!;
  }
  return weight;
}
