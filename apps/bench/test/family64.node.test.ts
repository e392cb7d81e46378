import { describe, expect, it } from 'vitest';
import {
  auon64,
  dctAdamW64,
  descend64,
  norMuon64,
  root64,
  trion64,
} from '../src/reference/family64.js';
import { matrix64, norm64, relativeError } from '../src/reference/matrix64.js';
import { muonOrthogonalize64 } from '../src/reference/newtonSchulz64.js';

const gradient = (rows: number, columns: number) =>
  matrix64(
    rows,
    columns,
    Array.from({ length: rows * columns }, (_, i) => Math.sin(1.3 * i * i + 0.7)),
  );

describe('float64 references of Muon’s relatives', () => {
  const shapes = [
    [6, 9],
    [9, 6],
  ] as const;

  it.each(shapes)('give Muon where they should, %i × %i', (rows, columns) => {
    const g = gradient(rows, columns);
    const polar = muonOrthogonalize64(g);
    const factor = Math.sqrt(Math.max(1, columns / rows));
    // At the first step momentum is a multiple of the gradient.
    const full = trion64(1)(g);
    expect(
      relativeError(
        full.data,
        polar.data.map((x) => x * factor),
      ),
    ).toBeLessThan(1e-6);
    const open = root64(0.95, 1)(g);
    const matched = 0.2 * Math.sqrt(9);
    expect(
      relativeError(
        open.data,
        polar.data.map((x) => x * matched),
      ),
    ).toBeLessThan(1e-6);
    const even = norMuon64()(g);
    expect(norm64(even.data)).toBeCloseTo(factor * norm64(polar.data), 6);
  });

  it('divide by scalars only', () => {
    const g = gradient(6, 9);
    const { data } = auon64(false)(g);
    const ratio = data[0]! / g.data[0]!;
    for (const [i, value] of data.entries()) expect(value / g.data[i]!).toBeCloseTo(ratio, 12);
  });

  it('take signs of the kept coordinates', () => {
    const g = gradient(4, 8);
    const adam = { beta1: 0, beta2: 0, epsilon: 1e-12 };
    // Without memory the first step is the sign of the kept coordinates: as many ones as there are.
    const { data } = dctAdamW64(0.5, adam)(g);
    expect(norm64(data)).toBeCloseTo(Math.sqrt(2 * 8), 6);
    const weight = descend64([4, 8], [g.data, g.data], 1, dctAdamW64(0.5, adam));
    expect(norm64(weight)).toBeGreaterThan(norm64(data));
  });
});
