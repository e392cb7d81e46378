/**
 * Fast Fourier transforms in float64 on the host, any length: Stockham's self-sorting algorithm with radices 4, 2, 3, 5
 * and, for greater primes, a direct transform of that length.
 *
 * A batch of transforms runs along the first axis of an array, so that the inner loops are contiguous; both axes of a
 * matrix are reached by one transposition between them.
 */
import { checkInteger } from '@orth/backend';

/** One stage: groups of `radix` numbers, `count` of them, and the factors that follow them. */
interface Stage {
  readonly radix: number;
  readonly count: number;
  /** exp(−2πi p k / (radix · count)) at [p · radix + k]. */
  readonly cosines: Float64Array;
  readonly sines: Float64Array;
  /** exp(−2πi j k / radix) at [j · radix + k], for a radix without code of its own. */
  readonly rootCosines: Float64Array;
  readonly rootSines: Float64Array;
}

const RADICES = [4, 2, 3, 5];

function factorize(n: number): number[] {
  const factors: number[] = [];
  let rest = n;
  for (const radix of RADICES) {
    for (; rest % radix === 0; rest /= radix) factors.push(radix);
  }
  for (let prime = 7; rest > 1; prime += 2) {
    for (; rest % prime === 0; rest /= prime) factors.push(prime);
    if (prime * prime > rest && rest > 1) {
      factors.push(rest);
      break;
    }
  }
  return factors;
}

/** Complex transforms of one length along the first axis of `[n, batch]`. */
export class HostFft {
  private readonly stages: readonly Stage[];
  private readonly scratch: [Float64Array, Float64Array];

  /** @param batch - greatest number of columns */
  constructor(
    readonly n: number,
    batch: number,
  ) {
    const stages: Stage[] = [];
    let length = n;
    const wave = (k: number, of: number) => (2 * Math.PI * (k % of)) / of;
    for (const radix of factorize(n)) {
      const count = length / radix;
      const table = (size: number, angle: (i: number) => number) => [
        Float64Array.from({ length: size }, (_, i) => Math.cos(angle(i))),
        Float64Array.from({ length: size }, (_, i) => -Math.sin(angle(i))),
      ];
      const of = length;
      const [cosines, sines] = table(length, (i) => wave(Math.floor(i / radix) * (i % radix), of));
      const [rootCosines, rootSines] = table(radix * radix, (i) =>
        wave(Math.floor(i / radix) * (i % radix), radix),
      );
      stages.push({
        radix,
        count,
        cosines: cosines!,
        sines: sines!,
        rootCosines: rootCosines!,
        rootSines: rootSines!,
      });
      length = count;
    }
    this.stages = stages;
    this.scratch = [new Float64Array(n * batch), new Float64Array(n * batch)];
  }

  /**
   * Transforms `re + i im` in place, unnormalised, forward. The inverse is the same with the parts exchanged.
   * @param batch - columns, contiguous for each index of the axis
   */
  transform(re: Float64Array, im: Float64Array, batch: number): void {
    let [xr, xi] = [re, im];
    let [yr, yi] = this.scratch;
    let stride = batch;
    for (const stage of this.stages) {
      runStage(stage, stride, xr, xi, yr, yi);
      [xr, xi, yr, yi] = [yr, yi, xr, xi];
      stride *= stage.radix;
    }
    if (xr !== re) {
      const size = this.n * batch;
      re.set(xr.subarray(0, size));
      im.set(xi.subarray(0, size));
    }
  }
}

function runStage(
  stage: Stage,
  s: number,
  xr: Float64Array,
  xi: Float64Array,
  yr: Float64Array,
  yi: Float64Array,
): void {
  if (stage.radix === 4) radix4(stage, s, xr, xi, yr, yi);
  else if (stage.radix === 2) radix2(stage, s, xr, xi, yr, yi);
  else anyRadix(stage, s, xr, xi, yr, yi);
}

function radix2(
  { count: m, cosines, sines }: Stage,
  s: number,
  xr: Float64Array,
  xi: Float64Array,
  yr: Float64Array,
  yi: Float64Array,
): void {
  for (let p = 0; p < m; p++) {
    const [c, d] = [cosines[2 * p + 1]!, sines[2 * p + 1]!];
    const from = s * p;
    const to = 2 * s * p;
    for (let q = 0; q < s; q++) {
      const ar = xr[from + q]!;
      const ai = xi[from + q]!;
      const br = xr[from + s * m + q]!;
      const bi = xi[from + s * m + q]!;
      yr[to + q] = ar + br;
      yi[to + q] = ai + bi;
      const er = ar - br;
      const ei = ai - bi;
      yr[to + s + q] = er * c - ei * d;
      yi[to + s + q] = er * d + ei * c;
    }
  }
}

function radix4(
  { count: m, cosines, sines }: Stage,
  s: number,
  xr: Float64Array,
  xi: Float64Array,
  yr: Float64Array,
  yi: Float64Array,
): void {
  for (let p = 0; p < m; p++) {
    const c1 = cosines[4 * p + 1]!;
    const d1 = sines[4 * p + 1]!;
    const c2 = cosines[4 * p + 2]!;
    const d2 = sines[4 * p + 2]!;
    const c3 = cosines[4 * p + 3]!;
    const d3 = sines[4 * p + 3]!;
    const [i0, i1, i2, i3] = [s * p, s * (p + m), s * (p + 2 * m), s * (p + 3 * m)];
    const to = 4 * s * p;
    for (let q = 0; q < s; q++) {
      const sumR = xr[i0 + q]! + xr[i2 + q]!;
      const sumI = xi[i0 + q]! + xi[i2 + q]!;
      const difR = xr[i0 + q]! - xr[i2 + q]!;
      const difI = xi[i0 + q]! - xi[i2 + q]!;
      const oddR = xr[i1 + q]! + xr[i3 + q]!;
      const oddI = xi[i1 + q]! + xi[i3 + q]!;
      const jR = xr[i1 + q]! - xr[i3 + q]!;
      const jI = xi[i1 + q]! - xi[i3 + q]!;
      yr[to + q] = sumR + oddR;
      yi[to + q] = sumI + oddI;
      const r1 = difR + jI;
      const j1 = difI - jR;
      yr[to + s + q] = r1 * c1 - j1 * d1;
      yi[to + s + q] = r1 * d1 + j1 * c1;
      const r2 = sumR - oddR;
      const j2 = sumI - oddI;
      yr[to + 2 * s + q] = r2 * c2 - j2 * d2;
      yi[to + 2 * s + q] = r2 * d2 + j2 * c2;
      const r3 = difR - jI;
      const j3 = difI + jR;
      yr[to + 3 * s + q] = r3 * c3 - j3 * d3;
      yi[to + 3 * s + q] = r3 * d3 + j3 * c3;
    }
  }
}

function anyRadix(
  { radix, count: m, cosines, sines, rootCosines, rootSines }: Stage,
  s: number,
  xr: Float64Array,
  xi: Float64Array,
  yr: Float64Array,
  yi: Float64Array,
): void {
  for (let p = 0; p < m; p++) {
    for (let k = 0; k < radix; k++) {
      const to = s * (radix * p + k);
      const c = cosines[radix * p + k]!;
      const d = sines[radix * p + k]!;
      // Butterfly and twiddle in one factor; columns innermost, so that memory is read in order.
      for (let j = 0; j < radix; j++) {
        const from = s * (p + m * j);
        const r = rootCosines[j * radix + k]!;
        const i = rootSines[j * radix + k]!;
        const a = r * c - i * d;
        const b = r * d + i * c;
        if (j === 0) {
          for (let q = 0; q < s; q++) {
            yr[to + q] = xr[from + q]! * a - xi[from + q]! * b;
            yi[to + q] = xr[from + q]! * b + xi[from + q]! * a;
          }
        } else {
          for (let q = 0; q < s; q++) {
            yr[to + q] = yr[to + q]! + xr[from + q]! * a - xi[from + q]! * b;
            yi[to + q] = yi[to + q]! + xr[from + q]! * b + xi[from + q]! * a;
          }
        }
      }
    }
  }
}

/** Half spectrum of a real `n × n` array in the host's order: entry (k_y, k_x) at `k_y · h + k_x`, h = ⌊n/2⌋ + 1. */
export interface HostSpectrum {
  readonly re: Float64Array;
  readonly im: Float64Array;
}

/**
 * Two-dimensional transforms of real `n × n` arrays in float64 on the host; reuses its buffers, makes none.
 *
 * Two columns go through one complex transform, so a real transform costs half a complex one.
 * @example
 * const fft = new RealFft2D(64);
 * const spectrum = fft.emptySpectrum();
 * fft.forward(field, spectrum); // field: Float64Array(64 * 64), row-major [x, y]
 */
export class RealFft2D {
  /** Frequencies kept along x: 0 … ⌊n/2⌋. */
  readonly half: number;
  private readonly plan: HostFft;
  private readonly pairs: number;
  private readonly packRe: Float64Array;
  private readonly packIm: Float64Array;
  private readonly workRe: Float64Array;
  private readonly workIm: Float64Array;

  /** @throws TypeError or RangeError unless `n` is an integer >= 1 */
  constructor(readonly n: number) {
    checkInteger('RealFft2D', 'n', n, { min: 1 });
    this.half = Math.floor(n / 2) + 1;
    this.pairs = Math.ceil(n / 2);
    this.plan = new HostFft(n, this.half);
    this.packRe = new Float64Array(n * this.pairs);
    this.packIm = new Float64Array(n * this.pairs);
    this.workRe = new Float64Array(n * this.half);
    this.workIm = new Float64Array(n * this.half);
  }

  /** A spectrum of zeros of this size. */
  emptySpectrum(): HostSpectrum {
    const size = this.n * this.half;
    return { re: new Float64Array(size), im: new Float64Array(size) };
  }

  /** Unnormalised transform of `x`, row-major [x, y], into `out`. */
  forward(x: ArrayLike<number>, { re, im }: HostSpectrum): void {
    const { n, half, pairs, packRe, packIm } = this;
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < pairs; j++) {
        packRe[i * pairs + j] = x[i * n + j]!;
        packIm[i * pairs + j] = j + pairs < n ? x[i * n + j + pairs]! : 0;
      }
    }
    this.plan.transform(packRe, packIm, pairs);
    // Column j + i·(column j + pairs): the parts that are even and odd under conjugation are the two spectra.
    for (let k = 0; k < half; k++) {
      const mirrored = k === 0 ? 0 : n - k;
      for (let j = 0; j < pairs; j++) {
        const a = packRe[k * pairs + j]!;
        const b = packIm[k * pairs + j]!;
        const c = packRe[mirrored * pairs + j]!;
        const d = packIm[mirrored * pairs + j]!;
        re[j * half + k] = (a + c) / 2;
        im[j * half + k] = (b - d) / 2;
        if (j + pairs < n) {
          re[(j + pairs) * half + k] = (b + d) / 2;
          im[(j + pairs) * half + k] = (c - a) / 2;
        }
      }
    }
    this.plan.transform(re, im, half);
  }

  /** Inverse of {@link forward}, divided by n²; `spectrum` is not changed. */
  inverse(spectrum: HostSpectrum, x: Float64Array): void {
    const { n, half, pairs, packRe, packIm, workRe, workIm } = this;
    workRe.set(spectrum.re);
    workIm.set(spectrum.im);
    // The inverse is the forward transform with the parts exchanged.
    this.plan.transform(workIm, workRe, half);
    for (let k = 0; k < half; k++) {
      // Frequencies that are their own mirror image are real; what else they hold no real array has.
      const own = k === 0 || 2 * k === n ? 0 : 1;
      const mirrored = k === 0 ? 0 : n - k;
      for (let j = 0; j < pairs; j++) {
        const a = workRe[j * half + k]!;
        const b = own * workIm[j * half + k]!;
        const other = j + pairs < n;
        const c = other ? workRe[(j + pairs) * half + k]! : 0;
        const d = other ? own * workIm[(j + pairs) * half + k]! : 0;
        packRe[k * pairs + j] = a - d;
        packIm[k * pairs + j] = b + c;
        if (own) {
          packRe[mirrored * pairs + j] = a + d;
          packIm[mirrored * pairs + j] = c - b;
        }
      }
    }
    this.plan.transform(packIm, packRe, pairs);
    const scale = 1 / (n * n);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < pairs; j++) {
        x[i * n + j] = packRe[i * pairs + j]! * scale;
        if (j + pairs < n) x[i * n + j + pairs] = packIm[i * pairs + j]! * scale;
      }
    }
  }
}
