/** Kernels that slide a window over images in NHWC order: what convolutions and poolings are made of. */
import type { KernelSource } from '../driver/cudaDriver.js';
import { eachElement, letterOf, PRELUDE, type Storage } from './types.js';

/** Sizes of an image, a window and what the window gives, as every kernel here takes them. */
export const WINDOW_PARAMETERS = [
  'inHeight',
  'inWidth',
  'outHeight',
  'outWidth',
  'windowHeight',
  'windowWidth',
  'strideY',
  'strideX',
  'dilationY',
  'dilationX',
  'padTop',
  'padLeft',
] as const;

/** Values of {@link WINDOW_PARAMETERS}. */
export type WindowSizes = Readonly<Record<(typeof WINDOW_PARAMETERS)[number], number>>;

const PARAMETERS = WINDOW_PARAMETERS.map((name) => `int ${name}`).join(', ');
const SIGNATURE = 'i'.repeat(WINDOW_PARAMETERS.length);

/** `i` → image `b`, row `py`, column `px`, channel `c` of `channels`. */
const place = (height: string, width: string, channels: string) =>
  `    const int c = i % ${channels}, px = i / ${channels} % ${width}, py = i / ${channels} / ${width} % ${height}, b = i / ${channels} / ${width} / ${height};`;

/** Visits each pixel `(y, x)` of the input under the window of output pixel `(py, px)`, with the window's `(fy, fx)`. */
const eachUnderWindow = (body: string) => `
    for (int fy = 0; fy < windowHeight; fy++) {
      const int y = py * strideY - padTop + fy * dilationY;
      if (y < 0 || y >= inHeight) continue;
      for (int fx = 0; fx < windowWidth; fx++) {
        const int x = px * strideX - padLeft + fx * dilationX;
        if (x < 0 || x >= inWidth) continue;
        ${body}
      }
    }`;

/** Visits each output pixel `(oy, ox)` whose window covers input pixel `(py, px)`, there as the window's `(fy, fx)`. */
const eachCovering = (body: string) => `
    for (int fy = 0; fy < windowHeight; fy++) {
      const int ty = py + padTop - fy * dilationY;
      if (ty < 0 || ty % strideY != 0 || ty / strideY >= outHeight) continue;
      const int oy = ty / strideY;
      for (int fx = 0; fx < windowWidth; fx++) {
        const int tx = px + padLeft - fx * dilationX;
        if (tx < 0 || tx % strideX != 0 || tx / strideX >= outWidth) continue;
        const int ox = tx / strideX;
        ${body}
      }
    }`;

function kernel(
  name: string,
  before: readonly [signature: string, parameters: string],
  after: readonly [signature: string, parameters: string],
  body: string,
  helpers = '',
): KernelSource {
  const parameters = ['unsigned count', before[1], PARAMETERS, ...(after[1] ? [after[1]] : [])];
  return {
    name,
    signature: `i${before[0]}${SIGNATURE}${after[0]}`,
    code: `${PRELUDE}${helpers}
extern "C" __global__ void ${name}(${parameters.join(', ')}) {${eachElement(body)}
}
`,
  };
}

/**
 * Lays the pixels under each window out as a row: `[images · outHeight · outWidth, windowHeight · windowWidth · channels]`.
 * Parameters: count, columns, images, window sizes, channels.
 */
export const IMAGE_TO_COLUMNS = kernel(
  'imageToColumns',
  ['pp', 'float* out, const float* in'],
  ['i', 'int channels'],
  `    const unsigned row = i / (channels * windowWidth * windowHeight);
    const int c = i % channels, fx = i / channels % windowWidth, fy = i / channels / windowWidth % windowHeight;
    const int px = row % outWidth, py = row / outWidth % outHeight, b = row / outWidth / outHeight;
    const int y = py * strideY - padTop + fy * dilationY, x = px * strideX - padLeft + fx * dilationX;
    out[i] = y >= 0 && y < inHeight && x >= 0 && x < inWidth ? in[((unsigned)(b * inHeight + y) * inWidth + x) * channels + c] : 0;`,
);

/** The transpose of {@link IMAGE_TO_COLUMNS}: each pixel gets the sum of its copies. Parameters as there. */
export const COLUMNS_TO_IMAGE = kernel(
  'columnsToImage',
  ['pp', 'float* out, const float* in'],
  ['i', 'int channels'],
  `${place('inHeight', 'inWidth', 'channels')}
    float sum = 0;${eachCovering('sum += in[(((unsigned)(b * outHeight + oy) * outWidth + ox) * windowHeight + fy) * (unsigned)(windowWidth * channels) + fx * channels + c];')}
    out[i] = sum;`,
);

/**
 * Depthwise convolution: output channel `q` comes from input channel `q / multiplier`, with the filter
 * `[windowHeight, windowWidth, channels, multiplier]`. Parameters: count, result, images, filter, window sizes, channels,
 * multiplier.
 */
export const DEPTHWISE = kernel(
  'depthwise',
  ['ppp', 'float* out, const float* in, const float* filter'],
  ['ii', 'int channels, int multiplier'],
  `    const int all = channels * multiplier;
${place('outHeight', 'outWidth', 'all')}
    float sum = 0;${eachUnderWindow('sum += in[((unsigned)(b * inHeight + y) * inWidth + x) * channels + c / multiplier] * filter[(fy * windowWidth + fx) * all + c];')}
    out[i] = sum;`,
);

/** Its gradient with respect to the images. Parameters: count, result, dy, filter, window sizes, channels, multiplier. */
export const DEPTHWISE_INPUT_GRADIENT = kernel(
  'depthwiseInputGradient',
  ['ppp', 'float* out, const float* dy, const float* filter'],
  ['ii', 'int channels, int multiplier'],
  `${place('inHeight', 'inWidth', 'channels')}
    const int all = channels * multiplier;
    float sum = 0;${eachCovering('for (int q = c * multiplier; q < (c + 1) * multiplier; q++) sum += dy[((unsigned)(b * outHeight + oy) * outWidth + ox) * all + q] * filter[(fy * windowWidth + fx) * all + q];')}
    out[i] = sum;`,
);

/**
 * Its gradient with respect to the filter, in `parts` that each sum over a part of the output pixels:
 * `[parts, windowHeight, windowWidth, channels, multiplier]`. Parameters: count, result, images, dy, window sizes,
 * channels, multiplier, images, parts.
 */
export const DEPTHWISE_FILTER_GRADIENT = kernel(
  'depthwiseFilterGradient',
  ['ppp', 'float* out, const float* in, const float* dy'],
  ['iiii', 'int channels, int multiplier, int images, int parts'],
  `    const unsigned all = channels * multiplier, pixels = (unsigned)images * outHeight * outWidth;
    const unsigned q = i % all, fx = i / all % windowWidth, fy = i / all / windowWidth % windowHeight, part = i / all / windowWidth / windowHeight;
    const unsigned chunk = (pixels + parts - 1) / parts, begin = part * chunk;
    const unsigned end = begin + chunk < pixels ? begin + chunk : pixels;
    float sum = 0;
    for (unsigned p = begin; p < end; p++) {
      const int px = p % outWidth, py = p / outWidth % outHeight, b = p / outWidth / outHeight;
      const int y = py * strideY - padTop + (int)fy * dilationY, x = px * strideX - padLeft + (int)fx * dilationX;
      if (y < 0 || y >= inHeight || x < 0 || x >= inWidth) continue;
      sum += in[((unsigned)(b * inHeight + y) * inWidth + x) * channels + q / multiplier] * dy[p * all + q];
    }
    out[i] = sum;`,
);

/** The greatest pixel of each window; −∞ for a window in the padding. Parameters: count, result, images, window sizes, channels. */
export function maxPoolSource(storage: Storage): KernelSource {
  return kernel(
    `maxPool_${letterOf(storage)}`,
    ['pp', `${storage}* out, const ${storage}* in`],
    ['i', 'int channels'],
    `${place('outHeight', 'outWidth', 'channels')}
    float best = -ORTH_INFINITY;${eachUnderWindow(`const float value = (float)in[((unsigned)(b * inHeight + y) * inWidth + x) * channels + c];
        best = (best >= value || best != best) ? best : value;`)}
    out[i] = (${storage})best;`,
  );
}

/** Mean over the pixels of each window that are no padding. Parameters as {@link maxPoolSource}. */
export const AVERAGE_POOL = kernel(
  'averagePool',
  ['pp', 'float* out, const float* in'],
  ['i', 'int channels'],
  `${place('outHeight', 'outWidth', 'channels')}
    float sum = 0;
    int pixels = 0;${eachUnderWindow('sum += in[((unsigned)(b * inHeight + y) * inWidth + x) * channels + c]; pixels++;')}
    out[i] = sum / pixels;`,
);

/**
 * Gradient of max pooling: each window gives its `dy` to the first of its greatest pixels, the first NaN before all.
 * Parameters: count, result, dy, images, window sizes, channels.
 */
export const MAX_POOL_GRADIENT = kernel(
  'maxPoolGradient',
  ['ppp', 'float* out, const float* dy, const float* in'],
  ['i', 'int channels'],
  `${place('inHeight', 'inWidth', 'channels')}
    float sum = 0;${eachCovering('if (orth_first_greatest(in + (unsigned)b * inHeight * inWidth * channels + c, channels, oy * strideY - padTop, ox * strideX - padLeft, py, px, inHeight, inWidth, windowHeight, windowWidth, dilationY, dilationX)) sum += dy[((unsigned)(b * outHeight + oy) * outWidth + ox) * channels + c];')}
    out[i] = sum;`,
  `
static __device__ bool orth_first_greatest(const float* in, int channels, int top, int left, int py, int px, int inHeight, int inWidth, int windowHeight, int windowWidth, int dilationY, int dilationX) {
  const float mine = in[(py * inWidth + px) * channels];
  for (int fy = 0; fy < windowHeight; fy++) {
    const int y = top + fy * dilationY;
    if (y < 0 || y >= inHeight) continue;
    for (int fx = 0; fx < windowWidth; fx++) {
      const int x = left + fx * dilationX;
      if (x < 0 || x >= inWidth) continue;
      const bool earlier = y < py || (y == py && x < px);
      if (y == py && x == px) continue;
      const float other = in[(y * inWidth + x) * channels];
      if (mine != mine ? (earlier && other != other) : (other != other || other > mine || (earlier && other == mine))) return false;
    }
  }
  return true;
}
`,
);

/**
 * Gradient of average pooling. Parameters: count, result, dy, window sizes, channels.
 */
export const AVERAGE_POOL_GRADIENT = kernel(
  'averagePoolGradient',
  ['pp', 'float* out, const float* dy'],
  ['i', 'int channels'],
  `${place('inHeight', 'inWidth', 'channels')}
    float sum = 0;${eachCovering(`int rows = 0, columns = 0;
        for (int k = 0; k < windowHeight; k++) { const int y = oy * strideY - padTop + k * dilationY; rows += y >= 0 && y < inHeight; }
        for (int k = 0; k < windowWidth; k++) { const int x = ox * strideX - padLeft + k * dilationX; columns += x >= 0 && x < inWidth; }
        sum += dy[((unsigned)(b * outHeight + oy) * outWidth + ox) * channels + c] / (rows * columns);`)}
    out[i] = sum;`,
);
