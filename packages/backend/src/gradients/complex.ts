/**
 * Gradients through complex tensors: `fft`, `ifft`, `rfft`, `irfft`, `complex`, `real`, `imag`, `abs` and the arithmetic
 * and moving of elements between them. tfjs has none of these on any backend.
 *
 * The gradient of a real loss L with respect to z = a + ib is `∂L/∂a + i ∂L/∂b`, a complex tensor. So a linear map
 * `y = M z` passes on `Mᴴ dy`, and a kernel that only moves or adds elements does to real and imaginary part what its
 * real gradient does.
 */
import {
  add,
  broadcast_util,
  clone,
  complex,
  divNoNan,
  fft,
  type GradConfig,
  type GradFunc,
  getGradient,
  ifft,
  imag,
  mul,
  neg,
  real,
  registerGradient,
  reshape,
  sqrt,
  square,
  sum,
  type Tensor,
  zerosLike,
} from '@tensorflow/tfjs-core';

const isComplex = (x: unknown): x is Tensor => (x as Tensor).dtype === 'complex64';

/**
 * Gets a complex gradient past tfjs's tape. The tape rejects every gradient whose dtype is not float32 — one read of
 * `dtype`, right after the gradient was computed — although all that follows (adding up, the next gradient function)
 * works with complex tensors. So the first read says float32, and every later one the truth.
 */
function asGradient(z: Tensor): Tensor {
  if (!isComplex(z)) return z;
  Object.defineProperty(z, 'dtype', {
    configurable: true,
    enumerable: true,
    get() {
      Object.defineProperty(z, 'dtype', {
        configurable: true,
        enumerable: true,
        writable: true,
        value: 'complex64',
      });
      return 'float32';
    },
  });
  return z;
}

/** Lets the gradient of a kernel that moves or adds elements take complex tensors. */
function lifted(kernelName: string): GradConfig {
  const original = getGradient(kernelName);
  return {
    ...original,
    gradFunc(dy, saved, attrs) {
      const dys = Array.isArray(dy) ? dy : [dy];
      if (!dys.some(isComplex)) return original.gradFunc(dy, saved, attrs);
      const partOf = (part: typeof real) => {
        const parts = dys.map((d) => part(d));
        return original.gradFunc(Array.isArray(dy) ? parts : parts[0]!, saved, attrs);
      };
      const [re, im] = [partOf(real), partOf(imag)];
      return Object.fromEntries(
        Object.keys(re).map((name) => [name, () => asGradient(complex(re[name]!(), im[name]!()))]),
      );
    },
  };
}

const LIFTED = [
  'Identity',
  'Reshape',
  'ExpandDims',
  'Concat',
  'Pack',
  'Slice',
  'Transpose',
  'Add',
  'Sub',
  'ZerosLike',
  'OnesLike',
];

function simple(
  kernelName: string,
  input: string,
  gradient: (dy: Tensor, z: Tensor) => Tensor,
): GradConfig {
  return {
    kernelName,
    inputsToSave: [input],
    gradFunc: (dy, saved) => ({
      [input]: () => asGradient(gradient(dy as Tensor, (saved as Tensor[])[0]!)),
    }),
  };
}

const lengthOf = (z: Tensor) => z.shape[z.rank - 1]!;

/** A complex tensor times a real number. */
const scaled = (z: Tensor, factor: number) => complex(mul(real(z), factor), mul(imag(z), factor));

const conjugate = (z: Tensor) => complex(real(z), neg(imag(z)));

/** Sums over the axes along which the operand was repeated; tfjs's `sum` knows no complex tensors. */
function unbroadcast(z: Tensor, shape: number[]): Tensor {
  const axes = broadcast_util.getReductionAxes(shape, z.shape);
  if (axes.length === 0) return reshape(z, shape);
  return complex(reshape(sum(real(z), axes), shape), reshape(sum(imag(z), axes), shape));
}

function multiplyGradient(): GradConfig {
  const original = getGradient('Multiply');
  return {
    ...original,
    gradFunc(dy, saved, attrs) {
      if (!isComplex(dy)) return original.gradFunc(dy, saved, attrs);
      const [a, b] = saved as [Tensor, Tensor];
      return {
        a: () => asGradient(unbroadcast(mul(dy, conjugate(b)), a.shape)),
        b: () => asGradient(unbroadcast(mul(dy, conjugate(a)), b.shape)),
      };
    },
  };
}

const castGradient: GradConfig = {
  kernelName: 'Cast',
  inputsToSave: ['x'],
  gradFunc: (dy, saved) => {
    const [x] = saved as [Tensor];
    const d = dy as Tensor;
    return {
      x: () => {
        if (isComplex(x)) return asGradient(isComplex(d) ? clone(d) : complex(d, zerosLike(d)));
        return isComplex(d) ? real(d) : clone(d);
      },
    };
  },
};

const complexGradient: GradConfig = {
  kernelName: 'Complex',
  gradFunc: ((dy: Tensor) => ({ real: () => real(dy), imag: () => imag(dy) })) as GradFunc,
};

/** Registers gradients through complex tensors on every backend; real tensors keep tfjs's own. */
export function registerComplexGradients(): void {
  for (const name of LIFTED) registerGradient(lifted(name));
  for (const gradient of [
    complexGradient,
    castGradient,
    multiplyGradient(),
    simple('Real', 'input', (dy) => complex(dy, zerosLike(dy))),
    simple('Imag', 'input', (dy) => complex(zerosLike(dy), dy)),
    // d|z| = Re(z̄ dz) / |z|, and 0 at z = 0.
    simple('ComplexAbs', 'x', (dy, z) => {
      const [a, b] = [real(z), imag(z)];
      const factor = divNoNan(dy, sqrt(add(square(a), square(b))));
      return complex(mul(a, factor), mul(b, factor));
    }),
    // y = F z with F symmetric and F Fᴴ = n: Fᴴ dy = n · ifft(dy).
    simple('FFT', 'input', (dy, z) => scaled(ifft(dy), lengthOf(z))),
    simple('IFFT', 'input', (dy, z) => scaled(fft(dy), 1 / lengthOf(z))),
  ]) {
    registerGradient(gradient);
  }
}
