/** Queries and documents that share a hidden vector, in dense and in wide clusters, and two encoders to match them. */
import type { Random } from '@orth/backend';
import { infoNceLoss, mrrAtK, mwLoss, pooledHardAuc } from '@orth/losses';
import {
  add,
  div,
  eye,
  gather,
  matMul,
  norm,
  relu,
  type Scalar,
  type Tensor1D,
  type Tensor2D,
  tensor1d,
  tensor2d,
  tidy,
  train,
  type Variable,
  variable,
} from '@tensorflow/tfjs-core';

const HIDDEN = 16;
const VISIBLE = 64;
const CLUSTERS = 40;
const WIDTHS = [VISIBLE, 128, 32];
const BATCH = 64;

/** Rows of queries and of the documents that belong to them. */
export interface RetrievalPairs {
  readonly count: number;
  readonly queries: Float32Array;
  readonly documents: Float32Array;
}

/** Pairs to train and pairs to test, of the same clusters. */
export function retrievalPairs(
  random: Random,
  counts: readonly [number, number],
): [RetrievalPairs, RetrievalPairs] {
  const matrix = (rows: number, columns: number, scale: number) =>
    Array.from({ length: rows }, () =>
      Float64Array.from({ length: columns }, () => scale * random.normal()),
    );
  const toQuery = matrix(HIDDEN, VISIBLE, 1 / 4);
  const toDocument = matrix(HIDDEN, VISIBLE, 1 / 4);
  const centres = matrix(CLUSTERS, HIDDEN, 1);
  const draw = (count: number): RetrievalPairs => {
    const queries = new Float32Array(count * VISIBLE);
    const documents = new Float32Array(count * VISIBLE);
    for (let i = 0; i < count; i++) {
      const cluster = random.integer(0, CLUSTERS - 1);
      const spread = cluster % 2 === 0 ? 0.15 : 1.3;
      const u = centres[cluster]!.map((x) => x + spread * random.normal());
      for (const [out, map] of [
        [queries, toQuery],
        [documents, toDocument],
      ] as const) {
        for (let j = 0; j < VISIBLE; j++) {
          const seen = u.reduce((total, x, k) => total + x * map[k]![j]!, 0);
          out[i * VISIBLE + j] = seen + 0.5 * random.normal();
        }
      }
    }
    return { count, queries, documents };
  };
  return [draw(counts[0]), draw(counts[1])];
}

class Encoder {
  readonly variables: Variable[];
  constructor(random: Random) {
    this.variables = WIDTHS.slice(1).flatMap((out, i) =>
      [
        random.normalTensor([WIDTHS[i]!, out], 0, Math.sqrt(2 / WIDTHS[i]!)),
        tensor1d(new Float32Array(out)),
      ].map((start) => {
        const result = variable(start);
        start.dispose();
        return result;
      }),
    );
  }

  encode(x: Tensor2D): Tensor2D {
    const [k0, b0, k1, b1] = this.variables as [Variable, Variable, Variable, Variable];
    const hidden = relu(add(matMul(x, k0 as Tensor2D), b0));
    return add(matMul(hidden as Tensor2D, k1 as Tensor2D), b1) as Tensor2D;
  }
}

/** How well one threshold, and how well each query's own list, tells documents. */
export interface RetrievalQuality {
  /** Over all queries together, with the 50 hardest negatives of each. */
  readonly auc: number;
  /** Mean reciprocal rank among the first 10. */
  readonly mrr: number;
}

/** Trains two encoders with Adam 1e-3 on batches of 64, and measures on the test pairs. */
export async function trainRetrieval(
  [training, test]: readonly [RetrievalPairs, RetrievalPairs],
  random: Random,
  steps: number,
  loss: 'mw' | 'infoNce',
  temperature: number,
): Promise<RetrievalQuality> {
  const encoders = [new Encoder(random), new Encoder(random)] as const;
  const optimizer = train.adam(1e-3);
  const toTensor = (data: Float32Array, count: number) => tensor2d(data, [count, VISIBLE]);
  const q = toTensor(training.queries, training.count);
  const p = toTensor(training.documents, training.count);
  const run = loss === 'mw' ? mwLoss : infoNceLoss;
  let order: number[] = [];
  for (let step = 0; step < steps; step++) {
    if (order.length < BATCH) order = random.shuffle([...Array(training.count).keys()]);
    const rows: Tensor1D = tensor1d(order.splice(0, BATCH), 'int32');
    optimizer.minimize(() => {
      const [a, b] = [encoders[0].encode(gather(q, rows)), encoders[1].encode(gather(p, rows))];
      return run(a, b, { temperature }) as Scalar;
    });
    rows.dispose();
  }
  const scores = tidy(() => {
    const unit = (x: Tensor2D) => div(x, norm(x, 2, 1, true)) as Tensor2D;
    const a = unit(encoders[0].encode(toTensor(test.queries, test.count)));
    const b = unit(encoders[1].encode(toTensor(test.documents, test.count)));
    return matMul(a, b, false, true);
  });
  const relevance = eye(test.count);
  const auc = await pooledHardAuc(scores, relevance, { topNegatives: 50 });
  const ranks = await mrrAtK(scores, relevance, 10);
  for (const x of [q, p, scores, relevance]) x.dispose();
  for (const { variables } of encoders) for (const v of variables) v.dispose();
  optimizer.dispose();
  return { auc, mrr: ranks.reduce((a, b) => a + b, 0) / ranks.length };
}
