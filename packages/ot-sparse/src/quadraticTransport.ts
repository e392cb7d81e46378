import { readInit, readInitAsync } from './initialPotentials.js';
import { checkedSettings, type QuadraticTransportOptions } from './regularizedOptions.js';
import { type SparseTransportResult, solveAll } from './sparseTransport.js';
import {
  type CostInput,
  checkTransport,
  readTransport,
  readTransportAsync,
} from './transportArguments.js';
import { TransportResult } from './transportResult.js';

/**
 * Optimal transport with squared l2 regularisation: a sparse plan, whose number of non-zeros follows from γ.
 *
 *     min ⟨T, C⟩ + (γ/2)‖T‖²   over   T ≥ 0,  T1 = a,  Tᵀ1 = b
 *
 * The limit k ≥ m of `sparseTransport`, by the same solver. The plan is unique; γ → 0 gives unregularised transport,
 * γ → ∞ the plan nearest to 0. Works on the host in float64: tensors are read synchronously.
 *
 * @param cost - `[…, m, n]`; `Infinity` forbids a pair
 * @throws TypeError or RangeError for bad arguments, naming them; Error where the backend cannot be read synchronously
 * @example
 * const { value } = quadraticTransport(cost, { gamma: 0.1 });
 * @see Blondel, Seguy, Rolet 2018, "Smooth and Sparse Optimal Transport", arXiv 1710.06276
 */
export function quadraticTransport(
  cost: CostInput,
  options: QuadraticTransportOptions = {},
): SparseTransportResult {
  const request = checkTransport('quadraticTransport', cost, options);
  const settings = checkedSettings(request, options, false);
  const problems = readTransport(request);
  const init = readInit(request, options.init);
  return new TransportResult(request, solveAll(request, problems, settings, init), true);
}

/**
 * {@link quadraticTransport} for backends that cannot be read synchronously (WebGPU outside a browser). `value` has no
 * gradient here; `result.attach(cost)` does.
 */
export async function quadraticTransportAsync(
  cost: CostInput,
  options: QuadraticTransportOptions = {},
): Promise<SparseTransportResult> {
  const request = checkTransport('quadraticTransportAsync', cost, options);
  const settings = checkedSettings(request, options, false);
  const problems = await readTransportAsync(request);
  const init = await readInitAsync(request, options.init);
  return new TransportResult(request, solveAll(request, problems, settings, init), false);
}
