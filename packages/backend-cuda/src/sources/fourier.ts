/** Discrete Fourier transforms of rows of complex numbers, real and imaginary parts interleaved. */
import type { KernelSource } from '../driver/cudaDriver.js';
import { eachElement } from './types.js';

/** `exp(sign · 2πi · k / n)` for `0 <= k < n`; the argument of sincospi is exact up to one rounding. */
const ROOT =
  'float sine, cosine; sincospif(2.0f * (float)k / (float)n, &sine, &cosine); sine *= sign;';

/**
 * One pass of a Stockham transform of `n = 2^p` numbers, which sorts as it goes: after the passes for
 * `half = 1, 2, …, n/2`, each from one buffer into another, the rows are transformed.
 * Parameters: butterflies in all, result, input, n, half, sign.
 */
export const FOURIER_PASS: KernelSource = {
  name: 'fourierPass',
  signature: 'ippiif',
  code: `
extern "C" __global__ void fourierPass(unsigned count, float* out, const float* in, unsigned n, unsigned half, float sign) {${eachElement(`    const unsigned row = i / (n / 2), j = i % (n / 2);
    const unsigned offset = j % half, k = offset * (n / (2 * half));
    ${ROOT}
    const float* a = in + 2 * (unsigned long long)(row * n + j);
    const float* b = a + n;
    const float re = b[0] * cosine - b[1] * sine, im = b[0] * sine + b[1] * cosine;
    float* first = out + 2 * (unsigned long long)(row * n + (j / half) * 2 * half + offset);
    float* second = first + 2 * half;
    first[0] = a[0] + re;
    first[1] = a[1] + im;
    second[0] = a[0] - re;
    second[1] = a[1] - im;`)}
}
`,
};

/** The sum as it is written, for other lengths. Parameters: numbers in all, result, input, n, sign. */
export const FOURIER_DIRECT: KernelSource = {
  name: 'fourierDirect',
  signature: 'ippif',
  code: `
extern "C" __global__ void fourierDirect(unsigned count, float* out, const float* in, unsigned n, float sign) {${eachElement(`    const unsigned frequency = i % n;
    const float* row = in + 2 * (unsigned long long)(i - frequency);
    float re = 0, im = 0;
    for (unsigned j = 0; j < n; j++) {
      const unsigned k = (unsigned)((unsigned long long)j * frequency % n);
      ${ROOT}
      re += row[2 * j] * cosine - row[2 * j + 1] * sine;
      im += row[2 * j] * sine + row[2 * j + 1] * cosine;
    }
    out[2 * (unsigned long long)i] = re;
    out[2 * (unsigned long long)i + 1] = im;`)}
}
`,
};
