/** Costs between two clouds of points on the host, a row at a time: the matrix is never made. */

/** Cost of moving from one point to another, by name. */
export type PointCostName = 'squaredEuclidean' | 'euclidean' | 'cosine';

/**
 * A cost of your own, called for every pair: keep it short. Points are float64 arrays of length d, which are reused: do not
 * keep them.
 */
export interface PointCost {
  /** Cost of moving a unit of mass from x to y. */
  cost(x: Float64Array, y: Float64Array): number;
  /**
   * Adds `weight · ∂cost/∂x` to `dx` and `weight · ∂cost/∂y` to `dy`; without it gradients with respect to points are
   * refused.
   */
  addGradient?(
    x: Float64Array,
    y: Float64Array,
    weight: number,
    dx: Float64Array,
    dy: Float64Array,
  ): void;
}

/** What a streaming solver needs to know about costs. */
export interface CostRows {
  readonly m: number;
  readonly n: number;
  /** Writes the costs of row i. */
  row(i: number, into: Float64Array): void;
  /** The same costs by columns. */
  transposed(): CostRows;
  /** Adds the gradient of `Σ_j weights_j C_ij` to those of all points; row-major `m × d` and `n × d`. */
  addGradient(i: number, weights: Float64Array, dx: Float64Array, dy: Float64Array): void;
  /** An upper bound of the costs, for ε-scaling. */
  readonly bound: number;
}

/** `scale · |x − y|^power`. */
interface PowerCost {
  readonly power: number;
  readonly scale: number;
}

/** What {@link cloudCost} understands. */
export type CloudCostKind = PointCostName | PointCost | PowerCost;

/** Makes the rows of a cost between points, row-major `m × d` and `n × d`. */
export function cloudCost(
  kind: CloudCostKind,
  x: Float64Array,
  y: Float64Array,
  d: number,
): CostRows {
  if (kind === 'squaredEuclidean') return new PowerRows(x, y, d, 2, 1);
  if (kind === 'euclidean') return new PowerRows(x, y, d, 1, 1);
  if (kind === 'cosine') return new CosineRows(x, y, d);
  if ('power' in kind) return new PowerRows(x, y, d, kind.power, kind.scale);
  return new CustomRows(x, y, d, kind);
}

/** One array for each coordinate. */
const byCoordinate = (points: Float64Array, d: number): Float64Array[] =>
  Array.from({ length: d }, (_, k) =>
    Float64Array.from({ length: points.length / d }, (_unused, i) => points[i * d + k]!),
  );

class PowerRows implements CostRows {
  readonly m: number;
  readonly n: number;
  private readonly coordinates: Float64Array[];

  constructor(
    private readonly x: Float64Array,
    private readonly y: Float64Array,
    private readonly d: number,
    private readonly power: number,
    private readonly scale: number,
  ) {
    this.m = x.length / d;
    this.n = y.length / d;
    this.coordinates = byCoordinate(y, d);
  }

  row(i: number, into: Float64Array): void {
    const { x, d, n, power, scale, coordinates } = this;
    const first = x[i * d]!;
    const ys = coordinates[0]!;
    for (let j = 0; j < n; j++) {
      const difference = first - ys[j]!;
      into[j] = difference * difference;
    }
    for (let k = 1; k < d; k++) {
      const at = x[i * d + k]!;
      const zs = coordinates[k]!;
      for (let j = 0; j < n; j++) {
        const difference = at - zs[j]!;
        into[j]! += difference * difference;
      }
    }
    if (power === 1) for (let j = 0; j < n; j++) into[j] = scale * Math.sqrt(into[j]!);
    else if (power !== 2) {
      for (let j = 0; j < n; j++) into[j] = scale * into[j]! ** (power / 2);
    } else if (scale !== 1) for (let j = 0; j < n; j++) into[j]! *= scale;
  }

  transposed(): CostRows {
    return new PowerRows(this.y, this.x, this.d, this.power, this.scale);
  }

  addGradient(i: number, weights: Float64Array, dx: Float64Array, dy: Float64Array): void {
    const { x, y, d, n, power, scale } = this;
    for (let j = 0; j < n; j++) {
      const weight = weights[j]!;
      if (weight === 0) continue;
      let factor = 2 * scale * weight;
      if (power !== 2) {
        let square = 0;
        for (let k = 0; k < d; k++) square += (x[i * d + k]! - y[j * d + k]!) ** 2;
        // |x − y| has no derivative at 0; 0 is a subgradient.
        if (square === 0) continue;
        factor = power * scale * weight * square ** (power / 2 - 1);
      }
      for (let k = 0; k < d; k++) {
        const change = factor * (x[i * d + k]! - y[j * d + k]!);
        dx[i * d + k]! += change;
        dy[j * d + k]! -= change;
      }
    }
  }

  get bound(): number {
    return this.scale * boxDiagonal(this.x, this.y, this.d) ** this.power;
  }
}

/** Diagonal of the box around two clouds. */
function boxDiagonal(x: Float64Array, y: Float64Array, d: number): number {
  let square = 0;
  for (let k = 0; k < d; k++) {
    let [low, high] = [Infinity, -Infinity];
    for (const points of [x, y]) {
      for (let at = k; at < points.length; at += d) {
        low = Math.min(low, points[at]!);
        high = Math.max(high, points[at]!);
      }
    }
    square += (high - low) ** 2;
  }
  return Math.sqrt(square);
}

/** `1 − cos(x, y)`, and 1 where a point is 0. */
class CosineRows implements CostRows {
  readonly m: number;
  readonly n: number;
  readonly bound = 2;
  private readonly xNorms: Float64Array;
  private readonly yNorms: Float64Array;
  private readonly coordinates: Float64Array[];

  constructor(
    private readonly x: Float64Array,
    private readonly y: Float64Array,
    private readonly d: number,
  ) {
    this.m = x.length / d;
    this.n = y.length / d;
    this.xNorms = norms(x, d);
    this.yNorms = norms(y, d);
    this.coordinates = byCoordinate(
      y.map((value, k) => value * inverse(this.yNorms[Math.floor(k / d)]!)),
      d,
    );
  }

  row(i: number, into: Float64Array): void {
    const { x, d, n, coordinates } = this;
    const scale = inverse(this.xNorms[i]!);
    into.fill(1, 0, n);
    for (let k = 0; k < d; k++) {
      const at = x[i * d + k]! * scale;
      const ys = coordinates[k]!;
      for (let j = 0; j < n; j++) into[j]! -= at * ys[j]!;
    }
  }

  transposed(): CostRows {
    return new CosineRows(this.y, this.x, this.d);
  }

  /** ∂/∂x = −(ŷ − cos·x̂) / |x|. */
  addGradient(i: number, weights: Float64Array, dx: Float64Array, dy: Float64Array): void {
    const { x, y, d, n, xNorms, yNorms } = this;
    const xs = inverse(xNorms[i]!);
    for (let j = 0; j < n; j++) {
      const weight = weights[j]!;
      const ys = inverse(yNorms[j]!);
      if (weight === 0 || xs === 0 || ys === 0) continue;
      let cosine = 0;
      for (let k = 0; k < d; k++) cosine += x[i * d + k]! * xs * y[j * d + k]! * ys;
      for (let k = 0; k < d; k++) {
        const [unitX, unitY] = [x[i * d + k]! * xs, y[j * d + k]! * ys];
        dx[i * d + k]! -= weight * (unitY - cosine * unitX) * xs;
        dy[j * d + k]! -= weight * (unitX - cosine * unitY) * ys;
      }
    }
  }
}

const inverse = (norm: number): number => (norm > 0 ? 1 / norm : 0);

const norms = (points: Float64Array, d: number): Float64Array =>
  Float64Array.from({ length: points.length / d }, (_, i) =>
    Math.hypot(...points.subarray(i * d, (i + 1) * d)),
  );

class CustomRows implements CostRows {
  readonly m: number;
  readonly n: number;

  constructor(
    private readonly x: Float64Array,
    private readonly y: Float64Array,
    private readonly d: number,
    private readonly kind: PointCost,
  ) {
    this.m = x.length / d;
    this.n = y.length / d;
  }

  row(i: number, into: Float64Array): void {
    const { x, y, d, n, kind } = this;
    const from = x.subarray(i * d, (i + 1) * d);
    for (let j = 0; j < n; j++) into[j] = kind.cost(from, y.subarray(j * d, (j + 1) * d));
  }

  transposed(): CostRows {
    const { cost } = this.kind;
    return new CustomRows(this.y, this.x, this.d, { cost: (x, y) => cost(y, x) });
  }

  addGradient(i: number, weights: Float64Array, dx: Float64Array, dy: Float64Array): void {
    const { x, y, d, n, kind } = this;
    if (!kind.addGradient) {
      throw new Error('cost must have addGradient to be differentiated with respect to points');
    }
    const part = (points: Float64Array, at: number) => points.subarray(at * d, (at + 1) * d);
    for (let j = 0; j < n; j++) {
      if (weights[j] === 0) continue;
      kind.addGradient(part(x, i), part(y, j), weights[j]!, part(dx, i), part(dy, j));
    }
  }

  get bound(): number {
    const row = new Float64Array(this.n);
    let most = 0;
    for (let i = 0; i < this.m; i++) {
      this.row(i, row);
      for (const c of row) most = Math.max(most, Math.abs(c));
    }
    return most;
  }
}
