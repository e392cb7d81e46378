/** Which tokens go to which experts: discrete choices of one group on the host. */

/** Choices of one group of S tokens and E experts. */
export interface Choices {
  /** `[E, capacity]` row-major: tokens in the expert's slots, −1 where a slot is empty. */
  readonly tokenIndex: Int32Array;
  /** What the rule wished for: tokens that asked for each expert, before capacities. */
  readonly demand: Int32Array;
  /** Token choice: slot of each of a token's k choices, −1 where dropped; `[S, k]`. */
  readonly slots?: Int32Array;
  /** Token choice: experts that a token chose, best first; `[S, k]`. */
  readonly expertIndex?: Int32Array;
}

/** Indices of the `count` largest entries of a strided run, largest first; of equal ones the first. */
export function largest(
  values: Float64Array,
  start: number,
  stride: number,
  length: number,
  count: number,
): number[] {
  return Array.from({ length }, (_, i) => i)
    .sort((i, j) => values[start + j * stride]! - values[start + i * stride]! || i - j)
    .slice(0, count);
}

/**
 * Every token takes its k best experts. Slots are given to all first choices in the order of tokens, then to all second
 * choices, …; with priority tokens come by decreasing best preference. What finds its expert full is dropped.
 *
 * @param preference - `[S, E]` row-major, what a token chooses by
 * @param confidence - `[S, E]`, whose greatest entry decides priority; undefined for token order
 */
export function tokensChoose(
  preference: Float64Array,
  tokens: number,
  experts: number,
  k: number,
  capacity: number,
  confidence: Float64Array | undefined,
): Choices {
  const expertIndex = new Int32Array(tokens * k);
  for (let s = 0; s < tokens; s++) {
    expertIndex.set(largest(preference, s * experts, 1, experts, k), s * k);
  }
  const order = confidence
    ? largest(greatest(confidence, tokens, experts), 0, 1, tokens, tokens)
    : Array.from({ length: tokens }, (_, s) => s);
  const tokenIndex = new Int32Array(experts * capacity).fill(-1);
  const demand = new Int32Array(experts);
  const slots = new Int32Array(tokens * k).fill(-1);
  for (let choice = 0; choice < k; choice++) {
    for (const s of order) {
      const expert = expertIndex[s * k + choice]!;
      const slot = demand[expert]!++;
      if (slot >= capacity) continue;
      slots[s * k + choice] = slot;
      tokenIndex[expert * capacity + slot] = s;
    }
  }
  return { tokenIndex, demand, slots, expertIndex };
}

const greatest = (values: Float64Array, rows: number, columns: number): Float64Array =>
  Float64Array.from({ length: rows }, (_, i) =>
    values
      .subarray(i * columns, (i + 1) * columns)
      .reduce((most, x) => Math.max(most, x), -Infinity),
  );

/**
 * Every expert takes its `capacity` largest tokens.
 * @param above - entries must be larger than this to be taken
 */
export function expertsChoose(
  preference: Float64Array,
  tokens: number,
  experts: number,
  capacity: number,
  above: number,
): Choices {
  const tokenIndex = new Int32Array(experts * capacity).fill(-1);
  const demand = new Int32Array(experts);
  for (let e = 0; e < experts; e++) {
    for (let s = 0; s < tokens; s++) if (preference[s * experts + e]! > above) demand[e]!++;
    const chosen = largest(preference, e, experts, tokens, capacity);
    chosen.forEach((s, slot) => {
      if (preference[s * experts + e]! > above) tokenIndex[e * capacity + slot] = s;
    });
  }
  return { tokenIndex, demand };
}
