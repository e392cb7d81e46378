import { bestMatching } from './hungarian.js';

/** How often class i met cluster j. */
function contingency(caller: string, yTrue: ArrayLike<number>, yPredicted: ArrayLike<number>) {
  const n = yTrue.length;
  if (n === 0 || yPredicted.length !== n) {
    const rule = `${caller}: labels must be as many, and at least one`;
    throw new RangeError(`${rule}, got ${n} and ${yPredicted.length}`);
  }
  const indexOf = (labels: ArrayLike<number>, what: string) => {
    const known = new Map<number, number>();
    const indices = Array.from(labels, (label) => {
      if (!Number.isInteger(label)) {
        throw new RangeError(`${caller}: ${what} must hold integers, got ${label}`);
      }
      if (!known.has(label)) known.set(label, known.size);
      return known.get(label)!;
    });
    return { indices, count: known.size };
  };
  const classes = indexOf(yTrue, 'yTrue');
  const clusters = indexOf(yPredicted, 'yPredicted');
  const table = Array.from({ length: classes.count }, () => new Float64Array(clusters.count));
  classes.indices.forEach((c, i) => {
    table[c]![clusters.indices[i]!]!++;
  });
  const rows = table.map((row) => row.reduce((a, b) => a + b, 0));
  const columns = Array.from({ length: clusters.count }, (_, j) =>
    table.reduce((total, row) => total + row[j]!, 0),
  );
  return { table, rows, columns, n };
}

/**
 * Share of points whose cluster stands for their class under the best one-to-one matching of clusters and classes; their
 * numbers may differ.
 *
 * @param yTrue - integers
 * @param yPredicted - integers, as many
 * @throws RangeError for different lengths, none, or labels that are not integers
 */
export function clusteringAccuracy(
  yTrue: ArrayLike<number>,
  yPredicted: ArrayLike<number>,
): number {
  const { table, n } = contingency('clusteringAccuracy', yTrue, yPredicted);
  const matched = bestMatching(table);
  return matched.reduce((total, j, i) => total + (j >= 0 ? table[i]![j]! : 0), 0) / n;
}

const entropy = (counts: readonly number[], n: number) =>
  -counts.reduce((total, c) => total + (c > 0 ? (c / n) * Math.log(c / n) : 0), 0);

/**
 * Normalised mutual information, arithmetic mean of the entropies, in [0, 1]: 0 where one side has a single cluster,
 * 1 where both have.
 * @throws as {@link clusteringAccuracy}
 */
export function normalizedMutualInfo(
  yTrue: ArrayLike<number>,
  yPredicted: ArrayLike<number>,
): number {
  const { table, rows, columns, n } = contingency('normalizedMutualInfo', yTrue, yPredicted);
  if (rows.length === 1 && columns.length === 1) return 1;
  let information = 0;
  table.forEach((row, i) => {
    row.forEach((c, j) => {
      if (c > 0) information += (c / n) * Math.log((c * n) / (rows[i]! * columns[j]!));
    });
  });
  const mean = (entropy(rows, n) + entropy(columns, n)) / 2;
  return Math.min(1, Math.max(0, information / mean));
}

const pairs = (count: number) => (count * (count - 1)) / 2;
const pairSum = (counts: Iterable<number>) => {
  let total = 0;
  for (const count of counts) total += pairs(count);
  return total;
};

/**
 * Rand index corrected for chance: 1 for equal partitions, around 0 for unrelated ones, at least −1/2.
 * @throws as {@link clusteringAccuracy}
 */
export function adjustedRandIndex(yTrue: ArrayLike<number>, yPredicted: ArrayLike<number>): number {
  const { table, rows, columns, n } = contingency('adjustedRandIndex', yTrue, yPredicted);
  const together = pairSum(table.flatMap((row) => Array.from(row)));
  const [inClasses, inClusters] = [pairSum(rows), pairSum(columns)];
  const expected = n > 1 ? (inClasses * inClusters) / pairs(n) : 0;
  const most = (inClasses + inClusters) / 2;
  return most === expected ? 1 : (together - expected) / (most - expected);
}

/**
 * F-score of pairs: precision and recall of "these two belong together"; 1 where neither side has a pair.
 * @throws as {@link clusteringAccuracy}
 */
export function pairwiseF(yTrue: ArrayLike<number>, yPredicted: ArrayLike<number>): number {
  const { table, rows, columns } = contingency('pairwiseF', yTrue, yPredicted);
  const together = pairSum(table.flatMap((row) => Array.from(row)));
  const claimed = pairSum(rows) + pairSum(columns);
  return claimed === 0 ? 1 : (2 * together) / claimed;
}
