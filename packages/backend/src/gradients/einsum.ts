import {
  einsum,
  type GradConfig,
  registerGradient,
  reshape,
  type Tensor,
  tile,
  zeros,
} from '@tensorflow/tfjs-core';

/**
 * The gradient of `einsum` is an einsum: with `out = Σ a[A] b[B]`, ∂/∂a is `Σ dy[out] b[B]` over the labels that a
 * lacks. A label that only a has was summed away on its own, so its gradient is the same along that axis.
 */
const einsumGradient: GradConfig = {
  kernelName: 'Einsum',
  saveAllInputs: true,
  gradFunc: (dy, saved, attrs) => {
    const { equation } = attrs as unknown as { equation: string };
    const [left = '', out = ''] = equation.replaceAll(/\s/g, '').split('->');
    const terms = left.split(',');
    const operands = saved as Tensor[];
    const gradient = (i: number) => () => {
      const x = operands[i]!;
      const labels = [...terms[i]!];
      const other = terms.length === 2 ? 1 - i : undefined;
      const known = out + (other === undefined ? '' : terms[other]!);
      const found = labels.filter((label) => known.includes(label));
      if (x.size === 0) return zeros(x.shape);
      const dx =
        other === undefined
          ? einsum(`${out}->${found.join('')}`, dy as Tensor)
          : einsum(`${out},${terms[other]}->${found.join('')}`, dy as Tensor, operands[other]!);
      if (found.length === labels.length) return dx;
      const repeated = labels.map((label, axis) => (found.includes(label) ? 1 : x.shape[axis]!));
      const kept = labels.map((label, axis) => (found.includes(label) ? x.shape[axis]! : 1));
      return tile(reshape(dx, kept), repeated);
    };
    return Object.fromEntries(operands.map((_, i) => [i, gradient(i)]));
  },
};

/** Registers the gradient that tfjs lacks for `einsum`. */
export function registerEinsumGradient(): void {
  registerGradient(einsumGradient);
}
