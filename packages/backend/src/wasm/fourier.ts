/**
 * Discrete Fourier transforms of any length, in float64 on the host: a pure function over typed arrays.
 *
 * Length 2^p: iterative radix 2 (Cooley and Tukey 1965). Other lengths: Bluestein 1970, which writes the transform as a
 * convolution, `jk = (j² + k² − (k − j)²) / 2`, and does that by three transforms of a power of two. Short other lengths
 * are summed directly.
 */

/** Up to this length the sum is faster than Bluestein's three transforms (measured). */
const DIRECT = 24;

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

function radix2(n: number): Transform {
  const [cos, sin] = roots(n, n >> 1);
  const reversed = new Uint32Array(n);
  for (let i = 1; i < n; i++) reversed[i] = (reversed[i >> 1]! >> 1) | (i & 1 ? n >> 1 : 0);
  return (re, im) => {
    for (let i = 0; i < n; i++) {
      const j = reversed[i]!;
      if (j <= i) continue;
      [re[i], re[j]] = [re[j]!, re[i]!];
      [im[i], im[j]] = [im[j]!, im[i]!];
    }
    for (let half = 1; half < n; half <<= 1) {
      const step = n / (2 * half);
      for (let k = 0; k < half; k++) {
        const [c, s] = [cos[k * step]!, sin[k * step]!];
        for (let i = k; i < n; i += 2 * half) {
          const j = i + half;
          const x = re[j]! * c - im[j]! * s;
          const y = re[j]! * s + im[j]! * c;
          re[j] = re[i]! - x;
          im[j] = im[i]! - y;
          re[i]! += x;
          im[i]! += y;
        }
      }
    }
  };
}

function direct(n: number): Transform {
  const [cos, sin] = roots(n, n);
  const [x, y] = [new Float64Array(n), new Float64Array(n)];
  return (re, im) => {
    x.set(re.subarray(0, n));
    y.set(im.subarray(0, n));
    for (let k = 0; k < n; k++) {
      let [sumRe, sumIm] = [0, 0];
      for (let j = 0, turn = 0; j < n; j++) {
        sumRe += x[j]! * cos[turn]! - y[j]! * sin[turn]!;
        sumIm += x[j]! * sin[turn]! + y[j]! * cos[turn]!;
        turn += k;
        if (turn >= n) turn -= n;
      }
      re[k] = sumRe;
      im[k] = sumIm;
    }
  };
}

function bluestein(n: number): Transform {
  let size = 1;
  while (size < 2 * n - 1) size *= 2;
  const transform = radix2(size);
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
    const isPowerOfTwo = Number.isInteger(Math.log2(n));
    transform = isPowerOfTwo ? radix2(n) : n <= DIRECT ? direct(n) : bluestein(n);
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
