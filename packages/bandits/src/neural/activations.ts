/** Activations whose derivative is a function of their value, so that nothing else need be kept for the backward pass. */

/** Name of an activation. */
export type Activation = 'relu' | 'tanh' | 'sigmoid' | 'softplus' | 'elu' | 'identity';

/** All of them. */
export const ACTIVATIONS: readonly Activation[] = [
  'relu',
  'tanh',
  'sigmoid',
  'softplus',
  'elu',
  'identity',
];

/** log(1 + exp(z)) without overflow. */
export const softplus = (z: number) => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)));

/** Replaces z by the activation of z. */
export function activate(kind: Activation, z: Float32Array): void {
  const n = z.length;
  if (kind === 'relu') for (let j = 0; j < n; j++) z[j] = Math.max(z[j]!, 0);
  else if (kind === 'tanh') for (let j = 0; j < n; j++) z[j] = Math.tanh(z[j]!);
  else if (kind === 'sigmoid') for (let j = 0; j < n; j++) z[j] = 1 / (1 + Math.exp(-z[j]!));
  else if (kind === 'softplus') for (let j = 0; j < n; j++) z[j] = softplus(z[j]!);
  else if (kind === 'elu') for (let j = 0; j < n; j++) z[j] = z[j]! > 0 ? z[j]! : Math.expm1(z[j]!);
}

/** Multiplies `delta` by the derivative at the units whose values are `h`; relu's at 0 is 0. */
export function applyDerivative(kind: Activation, h: Float32Array, delta: Float32Array): void {
  const n = h.length;
  if (kind === 'relu') for (let j = 0; j < n; j++) delta[j] = h[j]! > 0 ? delta[j]! : 0;
  else if (kind === 'tanh') for (let j = 0; j < n; j++) delta[j]! *= 1 - h[j]! * h[j]!;
  else if (kind === 'sigmoid') for (let j = 0; j < n; j++) delta[j]! *= h[j]! * (1 - h[j]!);
  // σ(z) = 1 − exp(−softplus(z))
  else if (kind === 'softplus') for (let j = 0; j < n; j++) delta[j]! *= -Math.expm1(-h[j]!);
  else if (kind === 'elu') for (let j = 0; j < n; j++) delta[j]! *= h[j]! > 0 ? 1 : h[j]! + 1;
}
