/** A cell: numbers are aligned right, everything else left. */
export type Cell = string | number;

/** Four significant digits, in the form that takes least room: 0.0123, 12.3, 1.23e-7. */
export function formatNumber(x: number): string {
  if (!Number.isFinite(x)) return String(x);
  if (x === 0) return '0';
  const size = Math.abs(x);
  if (size < 1e-3 || size >= 1e6) return x.toExponential(1);
  if (size >= 1000) return x.toFixed(0);
  return x.toPrecision(3);
}

/** A table with aligned columns for the terminal. */
export function formatTable(header: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const texts = rows.map((row) => row.map((x) => (typeof x === 'number' ? formatNumber(x) : x)));
  const widths = header.map((title, column) =>
    Math.max(title.length, ...texts.map((row) => row[column]!.length)),
  );
  const isNumber = header.map((_, column) => rows.every((row) => typeof row[column] === 'number'));
  const line = (cells: readonly string[]) =>
    cells
      .map((text, i) => (isNumber[i] ? text.padStart(widths[i]!) : text.padEnd(widths[i]!)))
      .join('  ')
      .trimEnd();
  const rule = widths.map((width) => '-'.repeat(width)).join('  ');
  return [line(header), rule, ...texts.map(line)].join('\n');
}
