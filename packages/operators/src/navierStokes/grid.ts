/**
 * Spectral calculus of periodic fields in tensors. A spectrum has the layout `[fields, k_y, 2, k_x]` with k_y = 0 … ⌊n/2⌋ and
 * the axis of length 2 the real and imaginary part: that is how the transform along x leaves it, and elementwise
 * multipliers do not care.
 *
 * Derivatives are part of the tables of the inverse transform, so the four fields of `u·∇w` cost no more than four.
 */
import {
  add,
  concat,
  keep,
  mul,
  split,
  type Tensor,
  type Tensor2D,
  tensor,
} from '@tensorflow/tfjs-core';
import { contract, permute } from '../spectral/contract.js';
import { fourierTable, frequencies, halfLength, multiplicity, range } from '../spectral/tables.js';

/** Velocity and vorticity gradient on the grid, each `[fields, n, n]`. */
export interface FlowGradients {
  readonly u: Tensor;
  readonly v: Tensor;
  readonly wx: Tensor;
  readonly wy: Tensor;
}

/** Tables of one grid, as tensors that {@link dispose} frees. */
export class SpectralGrid {
  readonly half: number;
  private readonly forwardY: Tensor2D;
  private readonly forwardX: Tensor2D;
  private readonly inverseX: Tensor2D;
  private readonly inverseY: Tensor2D;
  private readonly valueX: Tensor2D;
  private readonly slopeX: Tensor2D;
  private readonly valueY: Tensor2D;
  private readonly slopeY: Tensor2D;
  private readonly inverseLaplacian: Tensor;

  constructor(
    readonly n: number,
    readonly diam: number,
  ) {
    const half = halfLength(n);
    this.half = half;
    const all = range(0, n);
    const k = frequencies(n);
    // A field with a first derivative has no Nyquist frequency: its row and column are left out of every table below
    // that belongs to `gradients`.
    const isNyquist = (f: number) => 2 * Math.abs(f) === n;
    const factorOf = (kind: 'all' | 'value' | 'slope', weight: (f: number) => number) => {
      return (f: number): readonly [number, number] => {
        if (kind !== 'all' && isNyquist(f)) return [0, 0];
        return kind === 'slope' ? [0, ((2 * Math.PI * f) / diam) * weight(f)] : [weight(f), 0];
      };
    };
    const alongX = (kind: 'all' | 'value' | 'slope') =>
      fourierTable(`grid/x/${kind}/${n}/${diam}`, () => ({
        n,
        sign: 1,
        rows: k,
        columns: all,
        factor: factorOf(kind, () => 1 / n),
      }));
    const alongY = (kind: 'all' | 'value' | 'slope') =>
      fourierTable(`grid/y/${kind}/${n}/${diam}`, () => ({
        n,
        sign: 1,
        rows: range(0, half),
        columns: all,
        realOutput: true,
        factor: factorOf(kind, (f) => multiplicity(f, n) / n),
      }));
    this.forwardY = fourierTable(`realForward/${n}`, () => ({
      n,
      sign: -1,
      rows: all,
      columns: range(0, half),
      realInput: true,
    }));
    this.forwardX = fourierTable(`grid/forwardX/${n}`, () => ({
      n,
      sign: -1,
      rows: all,
      columns: k,
    }));
    this.inverseX = alongX('all');
    this.inverseY = alongY('all');
    this.valueX = alongX('value');
    this.slopeX = alongX('slope');
    this.valueY = alongY('value');
    this.slopeY = alongY('slope');
    this.inverseLaplacian = this.symbol((kx, ky) => {
      const square = kx * kx + ky * ky;
      return square === 0 ? 0 : 1 / square;
    });
  }

  /** A multiplier `[k_y, 1, k_x]` from a function of the angular wave numbers and of the frequency indices. */
  symbol(f: (xi: number, eta: number, kx: number, ky: number) => number): Tensor {
    const { n, half, diam } = this;
    const k = frequencies(n);
    const data = new Float32Array(half * n);
    for (let y = 0; y < half; y++) {
      for (let x = 0; x < n; x++) {
        const eta = (2 * Math.PI * k[y]!) / diam;
        data[y * n + x] = f((2 * Math.PI * k[x]!) / diam, eta, x, y);
      }
    }
    return tensor(data, [half, 1, n]);
  }

  /** Transform of fields `[fields, n, n]`. */
  forward(fields: Tensor): Tensor {
    const { half, n } = this;
    const overY = contract(fields, this.forwardY, [2, half], 1);
    return contract(permute(overY, [0, 3, 2, 1]), this.forwardX, [2, n]);
  }

  /** Fields `[fields, n, n]` of a spectrum. */
  inverse(spectrum: Tensor): Tensor {
    const overX = contract(spectrum, this.inverseX, [2, this.n]);
    return contract(permute(overX, [0, 3, 2, 1]), this.inverseY, [this.n]);
  }

  /** Spectrum of ψ with −Δψ = w, mean 0. */
  streamFunction(vorticity: Tensor): Tensor {
    return mul(vorticity, this.inverseLaplacian);
  }

  /** u = ∂ψ/∂y, v = −∂ψ/∂x and ∇w, from the spectrum of w. */
  gradients(vorticity: Tensor): FlowGradients {
    const { n } = this;
    const both = concat([this.streamFunction(vorticity), vorticity], 0);
    // Two products of four axes rather than one of five: see `lastToSecond`.
    const alongX = (table: Tensor2D) => permute(contract(both, table, [2, n]), [0, 3, 2, 1]);
    const slopes = contract(alongX(this.valueX), this.slopeY, [n]);
    const plains = contract(alongX(this.slopeX), this.valueY, [n]);
    const [u, wy] = split(slopes, 2) as [Tensor, Tensor];
    const [psiX, wx] = split(plains, 2) as [Tensor, Tensor];
    return { u, v: mul(psiX, -1), wx, wy };
  }

  /** u·∇w on the grid, not de-aliased; `velocity` in place of the vorticity's own. */
  advection(vorticity: Tensor, velocity?: { readonly u: Tensor; readonly v: Tensor }): Tensor {
    const own = this.gradients(vorticity);
    const { u, v } = velocity ?? own;
    return add(mul(u, own.wx), mul(v, own.wy));
  }

  /** Keeps the tables out of the reach of `tidy`, until {@link dispose}. */
  keep(): void {
    for (const x of this.tables()) keep(x);
  }

  /** Frees the tables; they must not be used afterwards. */
  dispose(): void {
    for (const x of this.tables()) x.dispose();
  }

  private tables(): Tensor[] {
    return [
      this.forwardY,
      this.forwardX,
      this.inverseX,
      this.inverseY,
      this.valueX,
      this.slopeX,
      this.valueY,
      this.slopeY,
      this.inverseLaplacian,
    ];
  }
}
