/** The final table and samples, for a terminal. */
import { Table } from 'console-table-printer';
import { colors } from './colors.js';
import { oneLine } from './format.js';
import type { RaceResult } from './result.js';
import { COLUMNS, ranking, tableCaption, tableRow, verdict } from './summary.js';

/** Renders the table; the best row is green where colours are on. */
export function renderTable(result: RaceResult): string {
  const columns = COLUMNS.map(({ short }) => short);
  const table = new Table({
    columns: columns.map((name, i) => ({ name, alignment: i === 0 ? 'left' : 'right' })),
    shouldDisableColors: !colors.isColorSupported,
  });
  const best = ranking(result)[0];
  for (const contestant of result.contestants) {
    const texts = tableRow(contestant);
    const row = Object.fromEntries(columns.map((name, i) => [name, texts[i]!]));
    table.addRow(row, contestant === best ? { color: 'green' } : {});
  }
  return table.render();
}

/** Table, verdict and samples. */
export function renderResult(result: RaceResult): string {
  const samples = result.contestants
    .filter(({ sample }) => sample !== '')
    .map(({ label, sample }) => `${colors.bold(label)} writes: ${colors.dim(oneLine(sample))}`);
  const table = `${renderTable(result)}\n${colors.dim(tableCaption(result))}`;
  return [table, verdict(result), ...samples].join('\n\n');
}
