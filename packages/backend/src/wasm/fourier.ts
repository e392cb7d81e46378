/**
 * Discrete Fourier transforms of any length, in float64 on the host: a pure function over typed arrays.
 *
 * A length whose prime factors are small is transformed factor by factor (Cooley and Tukey 1965, in Stockham's order,
 * which needs no bit reversal). Otherwise by Bluestein's method (1970), which writes the transform as a convolution,
 * `jk = (j² + k² − (k − j)²) / 2`, and does that by three transforms of a power of two.
 */

/** Prime factors above this go by Bluestein: summing p terms an element then costs more than his three transforms (measured). */
const LARGEST_FACTOR = 23;

/** A transform of one length and direction, with its tables. */
type Transform = (re: Float64Array, im: Float64Array) => void;

const transforms = new Map<number, Transform>();
/** Tables are kept for this many lengths; the oldest goes first. */
const KEPT = 64;

/** `exp(−2πi k / n)` for k < count, as cosines and sines; exact quarter turns keep round numbers round. */
function roots(n: number, count: number): [Float64Array, Float64Array] {
  const [cos, sin] = [new Float64Array(count), new Float64Array(count)];
  for (let k = 0; k < count; k++) {
    const angle = (-2 * Math.PI * k) / n;
    cos[k] = 4 * k === n || 4 * k === 3 * n ? 0 : Math.cos(angle);
    sin[k] = 2 * k === n ? 0 : Math.sin(angle);
  }
  return [cos, sin];
}

/** Factors of n, fours before twos; the last is n's largest prime factor. */
function factorize(n: number): number[] {
  const factors: number[] = [];
  let rest = n;
  for (let p = 4; rest > 1; p = p === 4 ? 2 : p === 2 ? 3 : p + 2) {
    while (rest % p === 0) {
      factors.push(p);
      rest /= p;
    }
    if (p > 4 && p * p > rest && rest > 1) {
      factors.push(rest);
      rest = 1;
    }
  }
  return factors;
}

/**
 * One factor r of a transform of length n = r·m that is done for `stride` interleaved sequences at once:
 * `y[q + s(rp + t)] = w_n^{pt} Σ_j w_r^{jt} x[q + s(p + mj)]` for p < m, t < r, q < s.
 */
type Stage = (
  x: Float64Array,
  xi: Float64Array,
  y: Float64Array,
  yi: Float64Array,
  m: number,
  stride: number,
) => void;

function stage2(cos: Float64Array, sin: Float64Array): Stage {
  return (x, xi, y, yi, m, s) => {
    for (let p = 0; p < m; p++) {
      const c = cos[p * s]!;
      const d = sin[p * s]!;
      const from = s * p;
      const to = 2 * s * p;
      for (let q = 0; q < s; q++) {
        const i = from + q;
        const j = from + q + s * m;
        const o = to + q;
        const re = x[i]! - x[j]!;
        const im = xi[i]! - xi[j]!;
        y[o] = x[i]! + x[j]!;
        yi[o] = xi[i]! + xi[j]!;
        y[o + s] = re * c - im * d;
        yi[o + s] = re * d + im * c;
      }
    }
  };
}

function stage4(cos: Float64Array, sin: Float64Array): Stage {
  return (x, xi, y, yi, m, s) => {
    for (let p = 0; p < m; p++) {
      const c1 = cos[p * s]!;
      const d1 = sin[p * s]!;
      const c2 = cos[2 * p * s]!;
      const d2 = sin[2 * p * s]!;
      const c3 = cos[3 * p * s]!;
      const d3 = sin[3 * p * s]!;
      for (let q = 0; q < s; q++) {
        const i0 = s * p + q;
        const i1 = i0 + s * m;
        const i2 = i1 + s * m;
        const i3 = i2 + s * m;
        const o = 4 * s * p + q;
        const ar = x[i0]! + x[i2]!;
        const ai = xi[i0]! + xi[i2]!;
        const br = x[i0]! - x[i2]!;
        const bi = xi[i0]! - xi[i2]!;
        const cr = x[i1]! + x[i3]!;
        const ci = xi[i1]! + xi[i3]!;
        // (x1 − x3) turned by −90°.
        const er = xi[i1]! - xi[i3]!;
        const ei = x[i3]! - x[i1]!;
        y[o] = ar + cr;
        yi[o] = ai + ci;
        const r1 = br + er;
        const s1 = bi + ei;
        y[o + s] = r1 * c1 - s1 * d1;
        yi[o + s] = r1 * d1 + s1 * c1;
        const r2 = ar - cr;
        const s2 = ai - ci;
        y[o + 2 * s] = r2 * c2 - s2 * d2;
        yi[o + 2 * s] = r2 * d2 + s2 * c2;
        const r3 = br - er;
        const s3 = bi - ei;
        y[o + 3 * s] = r3 * c3 - s3 * d3;
        yi[o + 3 * s] = r3 * d3 + s3 * c3;
      }
    }
  };
}

/** Any factor, by its definition. */
function stageOf(r: number, n: number, cos: Float64Array, sin: Float64Array): Stage {
  const unit = n / r;
  return (x, xi, y, yi, m, s) => {
    for (let p = 0; p < m; p++) {
      for (let t = 0; t < r; t++) {
        const c = cos[p * t * s]!;
        const d = sin[p * t * s]!;
        for (let q = 0; q < s; q++) {
          let i = s * p + q;
          let re = x[i]!;
          let im = xi[i]!;
          for (let j = 1, turn = t; j < r; j++, turn += t) {
            if (turn >= r) turn -= r;
            i += s * m;
            const a = cos[turn * unit]!;
            const b = sin[turn * unit]!;
            re += x[i]! * a - xi[i]! * b;
            im += x[i]! * b + xi[i]! * a;
          }
          const o = s * (r * p + t) + q;
          y[o] = re * c - im * d;
          yi[o] = re * d + im * c;
        }
      }
    }
  };
}

function byFactors(n: number, factors: readonly number[]): Transform {
  const [cos, sin] = roots(n, n);
  const stages = factors.map((r) =>
    r === 2 ? stage2(cos, sin) : r === 4 ? stage4(cos, sin) : stageOf(r, n, cos, sin),
  );
  const [spare, spareImaginary] = [new Float64Array(n), new Float64Array(n)];
  return (re, im) => {
    let x: Float64Array = re;
    let xi: Float64Array = im;
    let y: Float64Array = spare;
    let yi: Float64Array = spareImaginary;
    let stride = 1;
    stages.forEach((stage, i) => {
      stage(x, xi, y, yi, n / (stride * factors[i]!), stride);
      [x, xi, y, yi] = [y, yi, x, xi];
      stride *= factors[i]!;
    });
    if (x !== re) {
      re.set(x);
      im.set(xi);
    }
  };
}

function bluestein(n: number): Transform {
  let size = 1;
  while (size < 2 * n - 1) size *= 2;
  const transform = byFactors(size, factorize(size));
  // chirp[k] = exp(−πi k² / n); k² is taken modulo 2n, so the angle stays exact for long transforms.
  const [cos, sin] = roots(2 * n, 2 * n);
  const turn = (k: number) => (k * k) % (2 * n);
  const [filterRe, filterIm] = [new Float64Array(size), new Float64Array(size)];
  for (let k = 0; k < n; k++) {
    filterRe[k] = filterRe[(size - k) % size] = cos[turn(k)]!;
    filterIm[k] = filterIm[(size - k) % size] = -sin[turn(k)]!;
  }
  transform(filterRe, filterIm);
  const [a, b] = [new Float64Array(size), new Float64Array(size)];
  return (re, im) => {
    a.fill(0, n);
    b.fill(0, n);
    for (let k = 0; k < n; k++) {
      const [c, s] = [cos[turn(k)]!, sin[turn(k)]!];
      a[k] = re[k]! * c - im[k]! * s;
      b[k] = re[k]! * s + im[k]! * c;
    }
    transform(a, b);
    // The inverse transform of z is the conjugate of the transform of the conjugate of z, over the length.
    for (let k = 0; k < size; k++) {
      const x = a[k]! * filterRe[k]! - b[k]! * filterIm[k]!;
      b[k] = -(a[k]! * filterIm[k]! + b[k]! * filterRe[k]!);
      a[k] = x;
    }
    transform(a, b);
    for (let k = 0; k < n; k++) {
      const [c, s] = [cos[turn(k)]! / size, sin[turn(k)]! / size];
      const [x, y] = [a[k]!, -b[k]!];
      re[k] = x * c - y * s;
      im[k] = x * s + y * c;
    }
  };
}

function transformOf(n: number): Transform {
  let transform = transforms.get(n);
  if (!transform) {
    if (transforms.size >= KEPT) transforms.delete(transforms.keys().next().value!);
    const factors = factorize(n);
    transform = Math.max(1, ...factors) <= LARGEST_FACTOR ? byFactors(n, factors) : bluestein(n);
    transforms.set(n, transform);
  }
  return transform;
}

/**
 * Transforms each row of interleaved complex numbers: `to[k] = Σ_j from[j] exp(∓2πi jk/n)`, over n for the inverse.
 *
 * @param from - rows of `length` complex numbers, 2 · length float32 each
 * @param to - as long as `from`; may be the same array
 * @param inverse - the other sign, and divided by `length`
 */
export function fourierTransform(
  from: Float32Array,
  to: Float32Array,
  length: number,
  inverse: boolean,
): void {
  if (length === 0) return;
  const transform = transformOf(length);
  const [re, im] = [new Float64Array(length), new Float64Array(length)];
  // Swapping real and imaginary parts before and after turns the transform into its unscaled inverse.
  const [first, second] = inverse ? [1, 0] : [0, 1];
  const scale = inverse ? 1 / length : 1;
  for (let row = 0; row < from.length; row += 2 * length) {
    for (let k = 0; k < length; k++) {
      re[k] = from[row + 2 * k + first]!;
      im[k] = from[row + 2 * k + second]!;
    }
    transform(re, im);
    for (let k = 0; k < length; k++) {
      to[row + 2 * k + first] = re[k]! * scale;
      to[row + 2 * k + second] = im[k]! * scale;
    }
  }
}
