/** Ops in plain float64 JavaScript, as their definitions read: what every backend is compared with. */

type Numbers = readonly number[];

const count = (n: number) => Array.from({ length: n }, (_, i) => i);
const total = (values: Numbers) => values.reduce((sum, v) => sum + v, 0);

interface Product {
  readonly batch: number;
  readonly m: number;
  readonly k: number;
  readonly n: number;
  /** Whether the first factor is stored as `[k, m]`. */
  readonly a: boolean;
  /** Whether the second factor is stored as `[n, k]`. */
  readonly b: boolean;
}

export function matMul(x: Numbers, y: Numbers, { batch, m, k, n, a, b }: Product): number[] {
  return count(batch * m * n).map((index) => {
    const [slice, i, j] = [Math.floor(index / (m * n)), Math.floor(index / n) % m, index % n];
    const left = (t: number) => x[slice * m * k + (a ? t * m + i : i * k + t)]!;
    const right = (t: number) => y[slice * k * n + (b ? j * k + t : t * n + j)]!;
    return total(count(k).map((t) => left(t) * right(t)));
  });
}

export function layerNorm(x: Numbers, gain: Numbers, bias: Numbers, epsilon: number): number[] {
  const width = gain.length;
  return count(x.length / width).flatMap((row) => {
    const values = x.slice(row * width, (row + 1) * width);
    const mean = total(values) / width;
    const variance = total(values.map((v) => (v - mean) ** 2)) / width;
    return values.map((v, i) => ((v - mean) / Math.sqrt(variance + epsilon)) * gain[i]! + bias[i]!);
  });
}

/** softmax(q kᵀ) v over positions up to each query's own; all `[length, width]`. */
export function causalAttention(
  q: Numbers,
  k: Numbers,
  v: Numbers,
  length: number,
  width: number,
): number[] {
  const row = (x: Numbers, i: number) => x.slice(i * width, (i + 1) * width);
  return count(length).flatMap((i) => {
    const seen = count(i + 1);
    const weights = seen.map((j) => Math.exp(total(row(q, i).map((a, c) => a * row(k, j)[c]!))));
    return count(width).map(
      (c) => total(seen.map((j) => weights[j]! * row(v, j)[c]!)) / total(weights),
    );
  });
}

interface Convolution {
  readonly size: readonly [number, number];
  readonly channels: number;
  readonly filter: readonly [number, number];
  /** Output channels; for a depthwise convolution, filters of each input channel. */
  readonly filters: number;
  readonly stride: readonly [number, number];
  /** Rows above and columns left of the image. */
  readonly pad: readonly [number, number];
  readonly out: readonly [number, number];
  readonly depthwise: boolean;
}

/** One image, channels last; w is `[height, width, channels, filters]`. */
export function convolution(x: Numbers, w: Numbers, g: Convolution): number[] {
  const channelsOut = g.depthwise ? g.channels * g.filters : g.filters;
  const pixel = (y: number, column: number, c: number) =>
    y < 0 || y >= g.size[0] || column < 0 || column >= g.size[1]
      ? 0
      : x[(y * g.size[1] + column) * g.channels + c]!;
  return count(g.out[0] * g.out[1] * channelsOut).map((index) => {
    const o = index % channelsOut;
    const ox = Math.floor(index / channelsOut) % g.out[1];
    const oy = Math.floor(index / channelsOut / g.out[1]);
    const inputs = g.depthwise ? [Math.floor(o / g.filters)] : count(g.channels);
    return total(
      count(g.filter[0] * g.filter[1]).flatMap((tap) =>
        inputs.map((c) => {
          const [i, j] = [Math.floor(tap / g.filter[1]), tap % g.filter[1]];
          const seen = pixel(oy * g.stride[0] + i - g.pad[0], ox * g.stride[1] + j - g.pad[1], c);
          return seen * w[(tap * g.channels + c) * g.filters + (o % g.filters)]!;
        }),
      ),
    );
  });
}

/** Windows of 2 × 2, side by side, of one square image, channels last. */
export function pool(
  x: Numbers,
  side: number,
  channels: number,
  combine: (window: number[]) => number,
): number[] {
  const half = side / 2;
  return count(half * half * channels).map((index) => {
    const c = index % channels;
    const left = 2 * (Math.floor(index / channels) % half);
    const top = 2 * Math.floor(index / channels / half);
    return combine(
      count(4).map((i) => x[((top + (i >> 1)) * side + left + (i & 1)) * channels + c]!),
    );
  });
}

/** Rows of an even length n, each frequency k of 0…n/2 multiplied by filter[k]. */
export function filtered(x: Numbers, filter: Numbers, n: number): number[] {
  return x.map((_, index) => {
    const [row, t] = [Math.floor(index / n) * n, index % n];
    return total(
      count(n).map((k) => {
        const weight = filter[Math.min(k, n - k)]! / n;
        return total(
          count(n).map((j) => x[row + j]! * weight * Math.cos((2 * Math.PI * k * (t - j)) / n)),
        );
      }),
    );
  });
}
