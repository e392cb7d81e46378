/** Images as sequences of square patches, and back. */
import { checkInteger, checkOneOf, checkOptions, checkTensor } from '@orth/backend';
import { reshape, type Tensor, tidy, transpose } from '@tensorflow/tfjs-core';

/** Order of an image's axes: `[N, height, width, channels]` or `[N, channels, height, width]`. */
export type ImageLayout = 'NHWC' | 'NCHW';

/** Options of {@link patchify} and {@link unpatchify}. */
export interface PatchOptions {
  /** Default `'NHWC'`, tfjs's own */
  readonly layout?: ImageLayout;
}

/** Options of {@link unpatchify}. */
export interface UnpatchifyOptions extends PatchOptions {
  /** Patches in a column of the image. Default: as many as in a row */
  readonly rows?: number;
}

function layoutOf(caller: string, options: PatchOptions, own: readonly string[] = []): ImageLayout {
  checkOptions(caller, options, ['layout', ...own]);
  const { layout = 'NHWC' } = options;
  checkOneOf(caller, 'layout', layout, ['NHWC', 'NCHW']);
  return layout;
}

/**
 * Cuts images into square patches, row by row; within a patch the order is row, column, channel.
 *
 * @param images - shape `[N, H, W, C]`, or `[N, C, H, W]` for layout NCHW, float32
 * @param patchSize - p, in pixels; divides H and W
 * @returns shape `[N, H/p · W/p, p · p · C]`; differentiable
 * @throws TypeError for an unknown option or another dtype; RangeError for another rank, or if p does not divide
 */
export function patchify(images: Tensor, patchSize: number, options: PatchOptions = {}): Tensor {
  const caller = 'patchify';
  checkTensor(caller, 'images', images, { rank: 4 });
  const layout = layoutOf(caller, options);
  const p = patchSize;
  checkInteger(caller, 'patchSize', p, { min: 1 });
  const [N, A, B, C] = images.shape as [number, number, number, number];
  const [h, w, c] = layout === 'NHWC' ? [A, B, C] : [B, C, A];
  if (h % p !== 0 || w % p !== 0) {
    throw new RangeError(
      `${caller}: patchSize must divide height and width, got ${p} for ${h} x ${w}`,
    );
  }
  return tidy(() => {
    const last = layout === 'NHWC' ? images : transpose(images, [0, 2, 3, 1]);
    // Four axes do: rows of patches, rows within, columns of patches, pixels of a row within.
    const cut = reshape(last, [(N * h) / p, p, w / p, p * c]);
    return reshape(transpose(cut, [0, 2, 1, 3]), [N, (h / p) * (w / p), p * p * c]);
  });
}

/**
 * Puts patches together again, the inverse of {@link patchify}.
 *
 * @param patches - shape `[N, L, p · p · C]`, float32
 * @param patchSize - p, in pixels
 * @returns shape `[N, H, W, C]`, or `[N, C, H, W]` for layout NCHW; differentiable
 * @throws TypeError for an unknown option or another dtype; RangeError if L is no square and `rows` is not given, or the
 *   sizes do not divide
 */
export function unpatchify(
  patches: Tensor,
  patchSize: number,
  options: UnpatchifyOptions = {},
): Tensor {
  const caller = 'unpatchify';
  checkTensor(caller, 'patches', patches, { rank: 3 });
  const layout = layoutOf(caller, options, ['rows']);
  const p = patchSize;
  checkInteger(caller, 'patchSize', p, { min: 1 });
  const [N, L, size] = patches.shape as [number, number, number];
  const { rows = Math.round(Math.sqrt(L)) } = options;
  checkInteger(caller, 'rows', rows, { min: 1 });
  if (L % rows !== 0 || (options.rows === undefined && rows * rows !== L)) {
    throw new RangeError(`${caller}: rows must divide the number of patches, got ${rows} for ${L}`);
  }
  if (size % (p * p) !== 0) {
    throw new RangeError(
      `${caller}: patches must have a multiple of ${p * p} values each, got shape [${patches.shape}]`,
    );
  }
  const c = size / (p * p);
  const columns = L / rows;
  return tidy(() => {
    const cut = transpose(reshape(patches, [N * rows, columns, p, p * c]), [0, 2, 1, 3]);
    const images = reshape(cut, [N, rows * p, columns * p, c]);
    return layout === 'NHWC' ? images : transpose(images, [0, 3, 1, 2]);
  });
}
