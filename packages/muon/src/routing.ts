/** Which optimizer takes which variable, and why: the default rule for hidden matrices, and groups before it. */
import { type MatrixView, matrixView } from './matrixView.js';
import type { GroupMatch, MuonSettings, VariableInfo } from './options.js';

/** Least size of either side of a matrix that goes to Muon by default. */
export const MIN_SIDE = 4;
/** Greatest ratio of the sides of a matrix that goes to Muon by default. */
export const MAX_ASPECT_RATIO = 128;

/** How a variable is treated, as `describeGroups` tells it. */
export interface GroupDescription {
  /** The variable's name. */
  readonly name: string;
  /** Its shape. */
  readonly shape: readonly number[];
  /** `'muon'`, `'adamW'`, or `'frozen'`. */
  readonly optimizer: string;
  /**
   * Rows and columns of the matrices that are orthogonalised, or of the whole where its blocks differ in size; null where
   * no matrix is made of the variable.
   */
  readonly matrixShape: readonly [number, number] | null;
  /** Matrices that are orthogonalised, after batch axes and splits; 0 where none is. */
  readonly matrices: number;
  /** Why. */
  readonly reason: string;
}

/** Input and output layers by name; "multi_head" and "heads" are about attention, not about an output head. */
function isEndLayer(name: string): string | undefined {
  return name.replace(/multi[_-]?head/gi, '').match(/embed|logits|head(?!s)/i)?.[0];
}

/** Whether a group takes a variable. A RegExp with the g or y flag must not remember its last match. */
export function matches({ match }: GroupMatch, variable: VariableInfo): boolean {
  if (typeof match === 'function') return match(variable);
  match.lastIndex = 0;
  return match.test(variable.name);
}

/**
 * The default rule: hidden matrices to Muon, all else to AdamW.
 * @returns the matrix view if the variable is a hidden matrix, else why it is not
 */
export function hiddenMatrix(
  { name, shape }: VariableInfo,
  settings: MuonSettings,
): { readonly view: MatrixView; readonly reason: string } | { readonly reason: string } {
  if (shape.includes(0)) return { reason: 'empty' };
  const sides = shape.filter((size) => size !== 1).length;
  if (sides < 2) return { reason: `${sides === 0 ? 'a scalar' : 'a vector'}, not a matrix` };
  const end = isEndLayer(name);
  if (end) return { reason: `its name has "${end}": an input or output layer` };
  const view = matrixView('Muon', shape, settings);
  const { rows, columns } = view;
  const [short, long] = [Math.min(rows, columns), Math.max(rows, columns)];
  if (short < MIN_SIDE) return { reason: `${rows} × ${columns}: a side is below ${MIN_SIDE}` };
  if (long > MAX_ASPECT_RATIO * short) {
    return { reason: `${rows} × ${columns}: longer than ${MAX_ASPECT_RATIO} times its width` };
  }
  return { view, reason: 'a hidden matrix' };
}

function describeMatrices(
  shape: readonly number[],
  [rows, columns]: readonly [number, number],
  count: number,
): string {
  const size = shape.reduce((product, n) => product * n, 1);
  const one = `${rows}×${columns}`;
  if (count === 1) return one;
  return count * rows * columns === size ? `${count} of ${one}` : `${count} blocks of ${one}`;
}

/**
 * A table of {@link GroupDescription}s, one line a variable, for printing.
 * @param groups - what `describeGroups` gives
 * @throws TypeError if it is no array
 */
export function formatGroups(groups: readonly GroupDescription[]): string {
  if (!Array.isArray(groups as unknown)) {
    const rule = 'groups must be an array, as optimizer.describeGroups() gives';
    throw new TypeError(`formatGroups: ${rule}, got ${typeof groups}`);
  }
  const cells = groups.map(({ name, shape, optimizer, matrixShape, matrices, reason }) => [
    name,
    `[${shape}]`,
    optimizer,
    matrixShape ? describeMatrices(shape, matrixShape, matrices) : '–',
    reason,
  ]);
  const rows = [['variable', 'shape', 'optimizer', 'matrices', 'why'], ...cells];
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
