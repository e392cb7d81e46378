import { checkNumber, checkOptions } from '@orth/backend';

/** What {@link hypergradientErrorBound} is computed from, all at the approximate lower solution x̄. */
export interface ErrorBoundTerms {
  /** ε ≥ `‖x̄ − x̂‖`. */
  readonly accuracy: number;
  /** δ ≥ `‖H q − ∇g‖`. */
  readonly residual: number;
  /** μ, strong convexity of h. */
  readonly strongConvexity: number;
  /** L_g, smoothness of g. */
  readonly upperSmoothness: number;
  /** `‖J(x̄)‖`. */
  readonly crossNorm: number;
  /** `‖∇g(x̄)‖`. */
  readonly upperGradientNorm: number;
  /** L_{H⁻¹}: Lipschitz constant of the inverse Hessian. */
  readonly inverseHessianLipschitz: number;
  /** L_J: Lipschitz constant of J. */
  readonly crossLipschitz: number;
}

const BOUND_TERMS = [
  'accuracy',
  'residual',
  'strongConvexity',
  'upperSmoothness',
  'crossNorm',
  'upperGradientNorm',
  'inverseHessianLipschitz',
  'crossLipschitz',
] as const;

/**
 * A-posteriori bound of the error of an inexact hypergradient, `‖z − ∇f(θ)‖ ≤ ω`:
 *
 * `c = L_g ‖J‖/μ + L_{H⁻¹} ‖∇g‖ ‖J‖ + L_J ‖∇g‖/μ`, `ω = c ε + (‖J‖/μ) δ + (L_J L_g/μ) ε²`
 *
 * @throws TypeError for an unknown or missing term; RangeError if μ ≤ 0 or another term is negative
 * @see Salehi et al. 2023, arXiv 2308.10098, Theorem 2.1
 */
export function hypergradientErrorBound(terms: ErrorBoundTerms): number {
  const caller = 'hypergradientErrorBound';
  checkOptions(caller, terms, BOUND_TERMS);
  for (const name of BOUND_TERMS) {
    checkNumber(caller, name, terms[name], name === 'strongConvexity' ? { above: 0 } : { min: 0 });
  }
  const { accuracy, residual, strongConvexity: mu, upperSmoothness: Lg, crossNorm: J } = terms;
  const { upperGradientNorm: gradient, inverseHessianLipschitz, crossLipschitz: LJ } = terms;
  const c = (Lg * J) / mu + inverseHessianLipschitz * gradient * J + (LJ * gradient) / mu;
  return c * accuracy + (J / mu) * residual + ((LJ * Lg) / mu) * accuracy ** 2;
}

/** What {@link lineSearchValue} is computed from. */
export interface LineSearchTerms {
  /** g at the current approximate lower solution. */
  readonly value: number;
  /** ‖∇g‖ there. */
  readonly gradientNorm: number;
  /** ε of the current lower solution. */
  readonly accuracy: number;
  /** g at the trial point's approximate lower solution. */
  readonly trialValue: number;
  /** ‖∇g‖ there. */
  readonly trialGradientNorm: number;
  /** ε⁺ of the trial point's lower solution. */
  readonly trialAccuracy: number;
  /** L_g. */
  readonly upperSmoothness: number;
  /** Drops the quadratic term of the lower bound, which convex g does not need. */
  readonly upperConvex: boolean;
  /** λ. */
  readonly sufficientDecrease: number;
  /** α. */
  readonly stepSize: number;
  /** ‖z‖². */
  readonly squaredNorm: number;
}

const SEARCH_TERMS = [
  'value',
  'gradientNorm',
  'accuracy',
  'trialValue',
  'trialGradientNorm',
  'trialAccuracy',
  'upperSmoothness',
  'sufficientDecrease',
  'stepSize',
  'squaredNorm',
] as const;

/**
 * ψ(α) of the line search: an upper bound of f at the trial point less a lower bound of f at the current one, plus the
 * decrease that is asked for. `ψ(α) ≤ 0` implies `f(θ − α z) − f(θ) ≤ −λ α ‖z‖²` although neither f is known exactly:
 *
 * `ψ = [g⁺ + ‖∇g⁺‖ ε⁺ + L_g/2 ε⁺²] − [g − ‖∇g‖ ε − L_g/2 ε²] + λ α ‖z‖²`
 *
 * @throws TypeError for an unknown or missing term
 * @see Salehi et al. 2023, arXiv 2308.10098, Lemma 3.5 and Remark 3.6
 */
export function lineSearchValue(terms: LineSearchTerms): number {
  const caller = 'lineSearchValue';
  checkOptions(caller, terms, [...SEARCH_TERMS, 'upperConvex']);
  for (const name of SEARCH_TERMS) checkNumber(caller, name, terms[name]);
  return searchValue(terms);
}

/** {@link lineSearchValue} without the checks. */
export function searchValue(terms: LineSearchTerms): number {
  const { accuracy, trialAccuracy, upperSmoothness } = terms;
  const quadratic = (e: number) => (upperSmoothness / 2) * e * e;
  const above =
    terms.trialValue + terms.trialGradientNorm * trialAccuracy + quadratic(trialAccuracy);
  const below =
    terms.value - terms.gradientNorm * accuracy - (terms.upperConvex ? 0 : quadratic(accuracy));
  return above - below + terms.sufficientDecrease * terms.stepSize * terms.squaredNorm;
}
