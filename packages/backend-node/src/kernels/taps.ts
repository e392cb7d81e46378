/**
 * Which pixels a convolution's filter touches, as lists of indices: a convolution is a gather of pixels, then a matrix
 * product. Pixels are rows of `channels` numbers (NHWC), so a gather copies whole rows, and one list serves all images
 * and channels. An index equal to the number of pixels means padding: a row of zeros that is appended.
 */

/** What the lists depend on. */
export interface Geometry {
  readonly inHeight: number;
  readonly inWidth: number;
  readonly outHeight: number;
  readonly outWidth: number;
  readonly filterHeight: number;
  readonly filterWidth: number;
  readonly strideHeight: number;
  readonly strideWidth: number;
  readonly dilationHeight: number;
  readonly dilationWidth: number;
  readonly padTop: number;
  readonly padLeft: number;
}

/** A list of indices `[rows, columns]`. */
export interface Taps {
  readonly indices: Int32Array;
  readonly rows: number;
  readonly columns: number;
  /** Whether any of them means padding. */
  readonly padded: boolean;
}

function taps(rows: number, columns: number, padding: number): Taps & { indices: Int32Array } {
  // At least 64 bytes: V8 keeps smaller arrays where their address changes.
  const indices = new Int32Array(
    new ArrayBuffer(Math.max(64, 4 * rows * columns)),
    0,
    rows * columns,
  );
  return { indices: indices.fill(padding), rows, columns, padded: false };
}

/** For each output pixel the input pixels under the filter, in the filter's order: `[outH·outW, filterH·filterW]`. */
export function forwardTaps(g: Geometry): Taps {
  const none = g.inHeight * g.inWidth;
  const list = taps(g.outHeight * g.outWidth, g.filterHeight * g.filterWidth, none);
  let at = 0;
  let padded = false;
  for (let i = 0; i < g.outHeight; i++) {
    for (let j = 0; j < g.outWidth; j++) {
      for (let p = 0; p < g.filterHeight; p++) {
        const row = i * g.strideHeight + p * g.dilationHeight - g.padTop;
        for (let q = 0; q < g.filterWidth; q++, at++) {
          const column = j * g.strideWidth + q * g.dilationWidth - g.padLeft;
          const inside = row >= 0 && row < g.inHeight && column >= 0 && column < g.inWidth;
          if (inside) list.indices[at] = row * g.inWidth + column;
          else padded = true;
        }
      }
    }
  }
  return { ...list, padded };
}

/** The output pixels and filter positions that one input pixel takes part in. */
function* readers(g: Geometry, row: number, column: number) {
  for (let p = 0; p < g.filterHeight; p++) {
    const i = (row + g.padTop - p * g.dilationHeight) / g.strideHeight;
    if (!Number.isInteger(i) || i < 0 || i >= g.outHeight) continue;
    for (let q = 0; q < g.filterWidth; q++) {
      const j = (column + g.padLeft - q * g.dilationWidth) / g.strideWidth;
      if (!Number.isInteger(j) || j < 0 || j >= g.outWidth) continue;
      yield { output: i * g.outWidth + j, position: p * g.filterWidth + q };
    }
  }
}

/**
 * For each input pixel the products (output pixel, filter position) that went into it, as an index into all of them:
 * `[inH·inW, most]`, filled up with padding. Summed, they give the input's gradient for any stride.
 */
export function scatterTaps(g: Geometry): Taps {
  const positions = g.filterHeight * g.filterWidth;
  const none = g.outHeight * g.outWidth * positions;
  const most =
    Math.ceil(g.filterHeight / g.strideHeight) * Math.ceil(g.filterWidth / g.strideWidth);
  const list = taps(g.inHeight * g.inWidth, most, none);
  let filled = 0;
  for (let pixel = 0; pixel < list.rows; pixel++) {
    const [row, column] = [Math.floor(pixel / g.inWidth), pixel % g.inWidth];
    let at = pixel * most;
    for (const { output, position } of readers(g, row, column)) {
      list.indices[at++] = output * positions + position;
      filled++;
    }
  }
  return { ...list, padded: filled < list.indices.length };
}

/** Some rows of a convolution's output, as a convolution of their own on the input rows that they read. */
export interface Tile {
  readonly geometry: Geometry;
  /** First input row. */
  readonly inRow: number;
  /** First output row. */
  readonly outRow: number;
}

/** Cuts the output into tiles of `rows` rows. */
export function tilesOf(g: Geometry, rows: number): Tile[] {
  // Whole images: rows that no filter reads lie between two of them, too.
  if (rows >= g.outHeight) return [{ geometry: g, inRow: 0, outRow: 0 }];
  const tiles: Tile[] = [];
  for (let outRow = 0; outRow < g.outHeight; outRow += rows) {
    const outHeight = Math.min(rows, g.outHeight - outRow);
    // Rows under the filter, which may begin above the input and end below it.
    const first = outRow * g.strideHeight - g.padTop;
    const last = first + (outHeight - 1) * g.strideHeight + (g.filterHeight - 1) * g.dilationHeight;
    const inRow = Math.min(Math.max(first, 0), g.inHeight - 1);
    const inHeight = Math.max(Math.min(last + 1, g.inHeight) - inRow, 1);
    const geometry = { ...g, outHeight, inHeight, padTop: inRow - first };
    tiles.push({ geometry, inRow, outRow });
  }
  return tiles;
}

/**
 * The convolution that gives the input's gradient from the output's, for strides of 1: with the filter turned round, and
 * the padding that completes the filter's reach.
 */
export function transposedGeometry(g: Geometry): Geometry {
  return {
    ...g,
    inHeight: g.outHeight,
    inWidth: g.outWidth,
    outHeight: g.inHeight,
    outWidth: g.inWidth,
    padTop: (g.filterHeight - 1) * g.dilationHeight - g.padTop,
    padLeft: (g.filterWidth - 1) * g.dilationWidth - g.padLeft,
  };
}
