/**
 * Fused operations: an algorithm writes its mathematics once, as tfjs ops (the reference); a backend may register one
 * kernel that does the same faster. Callers see no difference, gradients included, because the gradient belongs to the
 * operation and not to a backend.
 */
import { customGrad, engine, getBackend, type Tensor, tidy, zeros } from '@tensorflow/tfjs-core';
import { globalRegistry } from './globalRegistry.js';

/** A backend's implementation of a fused operation: tensors in, one tensor out, nothing else kept. */
export type FusedKernel<Attributes> = (inputs: Tensor[], attributes: Attributes) => Tensor;

/** What defines a fused operation. */
export interface FusedOpDefinition<Attributes> {
  /** Unique name, `package/operation`, e.g. `newton-schulz/orthogonalize`. */
  readonly name: string;
  /** The operation composed of tfjs ops: what runs where no kernel is registered, and what kernels are tested against. */
  readonly reference: FusedKernel<Attributes>;
  /**
   * Gradient with respect to each input, given the gradient `dy` of the output. Default: automatic differentiation of
   * `reference`, which recomputes the forward pass.
   */
  readonly gradient?: (
    dy: Tensor,
    saved: { readonly inputs: Tensor[]; readonly output: Tensor },
    attributes: Attributes,
  ) => Tensor[];
}

/** A callable fused operation, made by {@link defineFusedOp}. */
export interface FusedOp<Attributes> {
  (inputs: Tensor[], attributes: Attributes): Tensor;
  /** The definition this was made from: name, reference and gradient. */
  readonly definition: FusedOpDefinition<Attributes>;
}

const kernels = globalRegistry('fused-kernels', () => new Map<string, FusedKernel<never>>());
const keyOf = (op: string, backend: string) => `${backend}:${op}`;

/**
 * Makes a fused operation.
 *
 * @example
 * const square = defineFusedOp<object>({ name: 'example/square', reference: ([x]) => mul(x, x) });
 * square([x], {});
 */
export function defineFusedOp<Attributes>(
  definition: FusedOpDefinition<Attributes>,
): FusedOp<Attributes> {
  const { name, reference, gradient } = definition;
  const differentiateReference = (dy: Tensor, inputs: Tensor[], attributes: Attributes) => {
    // Clones, because one tensor may be passed twice and must get two gradients; zeros for what has none, as indices.
    const xs = inputs.map((x) => x.clone());
    const { state } = engine();
    // tfjs is walking this tape backwards, and would begin another one in its place and then drop it.
    const tape = state.activeTape;
    try {
      const { grads } = engine().gradients(() => reference(xs, attributes), xs, dy, true);
      return grads.map((gradient: Tensor | undefined, i) => gradient ?? zeros(xs[i]!.shape));
    } finally {
      state.activeTape = tape;
    }
  };

  const call = (inputs: Tensor[], attributes: Attributes): Tensor => {
    const kernel = fusedKernel<Attributes>(name, getBackend());
    const forward = kernel ?? reference;
    // Without a kernel and without a gradient of its own, the reference is ordinary tfjs code: let the tape see it.
    if (!kernel && !gradient) return tidy(() => reference(inputs, attributes));
    const op = customGrad((...args) => {
      const save = args.pop() as unknown as (tensors: Tensor[]) => void;
      const xs = args as Tensor[];
      const value = forward(xs, attributes);
      save(gradient ? [...xs, value] : xs);
      return {
        value,
        gradFunc: (dy: Tensor, saved: Tensor[]) => {
          if (!gradient) return differentiateReference(dy, saved, attributes);
          const output = saved[saved.length - 1]!;
          return gradient(dy, { inputs: saved.slice(0, -1), output }, attributes);
        },
      };
    });
    return op(...inputs);
  };
  return Object.assign(call, { definition });
}

/**
 * Registers a backend's kernel for a fused operation; a later registration replaces an earlier one.
 * @param op - the operation's name
 * @param backend - tfjs backend name, as `getBackend()` gives it
 * @returns a function that removes the kernel again
 */
export function registerFusedKernel<Attributes>(
  op: string,
  backend: string,
  kernel: FusedKernel<Attributes>,
): () => void {
  const key = keyOf(op, backend);
  kernels.set(key, kernel as FusedKernel<never>);
  return () => {
    if (kernels.get(key) === (kernel as FusedKernel<never>)) kernels.delete(key);
  };
}

/** The kernel a backend registered for a fused operation, if there is one. */
export function fusedKernel<Attributes>(
  op: string,
  backend: string,
): FusedKernel<Attributes> | undefined {
  return kernels.get(keyOf(op, backend)) as FusedKernel<Attributes> | undefined;
}

/** Names of the fused operations that a backend has kernels for, sorted. */
export function fusedKernelNames(backend: string): string[] {
  const prefix = `${backend}:`;
  return [...kernels.keys()]
    .filter((key) => key.startsWith(prefix))
    .map((key) => key.slice(prefix.length))
    .sort();
}
