/**
 * What unbalanced transport pays where the plan's marginal r differs from the mass a, and how Sinkhorn's half-step changes.
 *
 * | | penalty | half-step | dual term | derivative in a |
 * |---|---|---|---|---|
 * | balanced | r = a | f | a·f | f |
 * | `'kl'` | ρ KL(r ∣ a) | f ρ/(ρ + ε) | −ρ a (e^(−f/ρ) − 1) | −ρ (e^(−f/ρ) − 1) |
 * | `'tv'` | ρ ‖r − a‖₁ | f cut to [−ρ, ρ] | a·f | f |
 *
 * @see Chizat, Peyré, Schmitzer, Vialard 2018, "Scaling algorithms for unbalanced optimal transport problems"; Séjourné
 *   et al. 2019, arXiv 1910.12958
 */
export interface MarginalPenalty {
  /** Potential from that of the balanced half-step. */
  step(potential: number, epsilon: number): number;
  /** Dual term per mass. */
  dual(potential: number): number;
  /** Primal penalty of a marginal. */
  primal(marginal: number, mass: number): number;
  /** Factor by which a half-step contracts: 1 where it promises nothing. */
  contraction(epsilon: number): number;
  /** Whether the marginal must be met. */
  readonly exact: boolean;
}

const balanced: MarginalPenalty = {
  step: (f) => f,
  dual: (f) => f,
  primal: () => 0,
  contraction: () => 1,
  exact: true,
};

/** The penalty of one side; ρ = Infinity is the balanced one. */
export function marginalPenalty(kind: 'kl' | 'tv', rho: number): MarginalPenalty {
  if (rho === Infinity) return balanced;
  if (kind === 'tv') {
    return {
      step: (f) => Math.min(rho, Math.max(-rho, f)),
      dual: (f) => f,
      primal: (r, a) => rho * Math.abs(r - a),
      contraction: () => 1,
      exact: false,
    };
  }
  return {
    step: (f, epsilon) => (f * rho) / (rho + epsilon),
    dual: (f) => -rho * Math.expm1(-f / rho),
    primal: (r, a) => rho * ((r > 0 ? r * Math.log(r / a) : 0) - r + a),
    contraction: (epsilon) => rho / (rho + epsilon),
    exact: false,
  };
}
