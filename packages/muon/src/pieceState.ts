/**
 * State that is not shaped like the kernel, such as one number a neuron: in a unit it lies variable by variable, while
 * the update works piece by piece over all variables at once.
 */
import { concat, reshape, slice, type Tensor, transpose } from '@tensorflow/tfjs-core';
import type { MatrixPiece, MatrixView } from './matrixView.js';

/** How many numbers of state each matrix of a piece has. */
export type PieceLength = (piece: MatrixPiece) => number;

/** Numbers of state of one variable: of all its matrices. */
export function pieceStateSize({ pieces }: MatrixView, length: PieceLength): number {
  return pieces.reduce((sum, piece) => sum + piece.count * length(piece), 0);
}

/**
 * Blocks of one size among unequal ones come out of `toMatrices` block by block rather than variable by variable; for
 * them the number of blocks, else 1.
 */
function blocksOf({ split, batch }: MatrixView, piece: MatrixPiece): number {
  return split && new Set(split.sizes).size > 1 ? piece.count / batch : 1;
}

/**
 * State of each piece.
 * @param flat - `[members · pieceStateSize]`, variable by variable
 * @returns for each of `view.pieces` `[members · count, length]`, in the order of `toMatrices`
 */
export function unpackPieces(
  flat: Tensor,
  members: number,
  view: MatrixView,
  length: PieceLength,
): Tensor[] {
  const rows = reshape(flat, [members, flat.size / members]);
  let at = 0;
  return view.pieces.map((piece) => {
    const size = piece.count * length(piece);
    const own = view.pieces.length === 1 ? rows : slice(rows, [0, at], [members, size]);
    at += size;
    const blocks = blocksOf(view, piece);
    const ordered =
      blocks === 1 ? own : transpose(reshape(own, [members, blocks, size / blocks]), [1, 0, 2]);
    return reshape(ordered, [members * piece.count, length(piece)]);
  });
}

/** Inverse of {@link unpackPieces}; the pieces' tensors may have any shape of the right size. */
export function packPieces(parts: readonly Tensor[], members: number, view: MatrixView): Tensor {
  const rows = view.pieces.map((piece, i) => {
    const part = parts[i]!;
    const size = part.size / members;
    const blocks = blocksOf(view, piece);
    if (blocks === 1) return reshape(part, [members, size]);
    return reshape(transpose(reshape(part, [blocks, members, size / blocks]), [1, 0, 2]), [
      members,
      size,
    ]);
  });
  const whole = rows.length === 1 ? rows[0]! : concat(rows, 1);
  return reshape(whole, [whole.size]);
}
