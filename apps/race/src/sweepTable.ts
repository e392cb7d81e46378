import { Table } from 'console-table-printer';
import { colors } from './colors.js';
import { OPTIMIZERS } from './optimizers.js';
import type { SweepResult } from './sweep.js';

/** The sweep as a table for a terminal: a row for each trial, the chosen rates below. */
export function renderSweep({ rows, choices }: SweepResult): string {
  const table = new Table({
    columns: [
      { name: 'optimiser', alignment: 'left' },
      { name: 'peak rate', alignment: 'right' },
      { name: 'validation loss', alignment: 'right' },
    ],
    shouldDisableColors: !colors.isColorSupported,
  });
  for (const { optimizer, learningRate, validationLoss } of rows) {
    const best = choices.find((choice) => choice.optimizer === optimizer);
    table.addRow(
      {
        optimiser: OPTIMIZERS[optimizer].label,
        'peak rate': learningRate,
        'validation loss': validationLoss?.toFixed(3) ?? 'diverged',
      },
      best?.learningRate === learningRate ? { color: 'green' } : {},
    );
  }
  const chosen = choices.map(({ optimizer, learningRate, interior }) => {
    const edge = interior ? '' : ' (at the edge of its grid: not tuned)';
    return `${OPTIMIZERS[optimizer].label}: ${learningRate}${edge}`;
  });
  return [table.render(), ...chosen].join('\n');
}
