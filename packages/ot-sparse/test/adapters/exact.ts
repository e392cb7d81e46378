import type { Adapter } from '@orth/testing';
import { assignmentAsync, exactTransportAsync, wasserstein1dAsync } from '../../src/index.js';

const centred = (x: Float64Array): Float64Array => {
  const mean = x.reduce((total, value) => total + value, 0) / x.length;
  return x.map((value) => value - mean);
};

/** Unregularised transport; masses may be absent (uniform). */
const emd: Adapter = async ({ inputs, wanted }) => {
  const { C, a, b } = inputs;
  const result = await exactTransportAsync(C!, { a, b });
  const { alpha, beta } = result.duals;
  const outputs = {
    value: () => result.value.clone(),
    cost: () => result.value.clone(),
    plan: () => result.plan(),
    u: () => alpha,
    v: () => beta,
    uCentred: () => centred(alpha),
    vCentred: () => centred(beta),
  };
  const made = wanted.map((name) => [name, outputs[name as keyof typeof outputs]?.()] as const);
  result.dispose();
  return Object.fromEntries(made.filter(([, value]) => value !== undefined)) as never;
};

const assign: Adapter = async ({ inputs, params }) => {
  const C = inputs.C!;
  const { columnOfRow, value, totals, u, v } = await assignmentAsync(C, {
    maximize: params.maximize ?? false,
  });
  value.dispose();
  const n = C.shape[1]!;
  const rowOfColumn = new Int32Array(n).fill(-1);
  columnOfRow.forEach((j, i) => {
    if (j >= 0) rowOfColumn[j] = i;
  });
  return { columnOfRow, rowOfColumn, value: totals, u, v };
};

/** On a line; masses may be absent (uniform), p is 1 unless given. Gradients by name of their input. */
const line: Adapter = async ({ inputs, params }) => {
  const { x, y, a, b } = inputs;
  const p = params.p ?? 1;
  const result = await wasserstein1dAsync(x!, y!, { a, b, p });
  const { value, entries, gradients } = result.solutions[0]!;
  result.dispose();
  const n = y!.size;
  const plan = new Float64Array(x!.size * n);
  entries.values.forEach((mass, e) => {
    plan[entries.rows[e]! * n + entries.columns[e]!]! += mass;
  });
  const { x: gradX, y: gradY } = gradients();
  return { value, distance: value ** (1 / p), plan, gradX, gradY };
};

export const adapters: Record<string, Adapter> = {
  'ot-sparse/exact/emd': emd,
  'ot-sparse/exact/assignment': assign,
  'ot-sparse/exact/wasserstein1d': line,
};
