/** The baseline that DCT-AdamW replaces: AdamW along the exact singular vectors of each gradient. */
import { AdamW, type AdamWOptions } from '@orth/muon';
import {
  abs,
  add,
  div,
  engine,
  keep,
  matMul,
  mul,
  sqrt,
  square,
  sub,
  type Tensor,
  type Tensor2D,
  tensor2d,
  tidy,
  transpose,
  type Variable,
  zeros,
} from '@tensorflow/tfjs-core';
import { EigenvalueDecomposition, Matrix } from 'ml-matrix';

type Gradients = Parameters<AdamW['applyGradients']>[0];

/** m and v `[long, r]`, the error `[long, short]`, and the projection `[short, r]`, which has to be stored. */
interface State {
  m: Tensor;
  v: Tensor;
  error: Tensor;
  projection: Tensor;
}

/**
 * AdamW on the coordinates of the accumulated gradient along its `r` leading singular vectors of the shorter side, found
 * anew in each step by an eigendecomposition in float64 on the host, with error feedback and with moments rotated into each
 * new basis, as DCT-AdamW has them; the second moment keeps its sign by |·|. Everything else goes to AdamW.
 */
export class SvdAdamW extends AdamW {
  private readonly states = new Map<string, State>();
  private steps = 0;

  constructor(
    private readonly rate: (step: number) => number,
    rest: AdamWOptions,
    private readonly hidden: RegExp,
    private readonly rank: number,
  ) {
    super({ ...rest, groups: [{ match: hidden, optimizer: 'frozen' }] });
  }

  override applyGradients(gradients: Gradients): void {
    const step = this.steps++;
    const entries = Object.entries(gradients as unknown as Record<string, Tensor>);
    for (const [name, gradient] of entries) {
      if (this.hidden.test(name)) this.update(name, gradient as Tensor2D, step);
    }
    super.applyGradients(gradients);
  }

  private update(name: string, gradient: Tensor2D, step: number): void {
    const [beta1, beta2, epsilon] = [0.9, 0.95, 1e-8];
    const weights = engine().registeredVariables[name] as Variable;
    const former = this.states.get(name);
    const next = tidy(() => {
      const tall = gradient.shape[0] >= gradient.shape[1];
      const G = tall ? gradient : transpose(gradient);
      const [long, short] = G.shape as [number, number];
      const r = Math.max(1, Math.round(this.rank * short));
      const A = (former ? add(G, former.error) : G) as Tensor2D;
      const P = leadingVectors(A, r);
      const low = matMul(A, P);
      const rotation = former && matMul(former.projection, P, true, false);
      const m0 = former ? matMul(former.m, rotation!) : zeros([long, r]);
      const v0 = former ? abs(matMul(former.v, rotation!)) : zeros([long, r]);
      const m = add(mul(m0, beta1), mul(low, 1 - beta1));
      const v = add(mul(v0, beta2), mul(square(low), 1 - beta2));
      const root = Math.sqrt(1 - beta2 ** (step + 1));
      const direction = matMul(div(m, add(sqrt(v), epsilon * root)) as Tensor2D, P, false, true);
      const scale = (this.rate(step) * root) / (1 - beta1 ** (step + 1));
      weights.assign(sub(weights, mul(tall ? direction : transpose(direction), scale)));
      const error = sub(A, matMul(low, P, false, true));
      return { m: keep(m), v: keep(v), error: keep(error), projection: keep(P) };
    });
    if (former) for (const x of Object.values(former) as Tensor[]) x.dispose();
    this.states.set(name, next);
  }

  override stateBytes(): number {
    const own = [...this.states.values()].flatMap((state) => Object.values(state) as Tensor[]);
    return super.stateBytes() + 4 * own.reduce((sum, { size }) => sum + size, 0);
  }

  override dispose(): void {
    super.dispose();
    for (const state of this.states.values()) {
      for (const x of Object.values(state) as Tensor[]) x.dispose();
    }
    this.states.clear();
  }
}

/** `[short, r]`: right singular vectors of the largest singular values, from the eigenvectors of AᵀA. */
function leadingVectors(A: Tensor2D, r: number): Tensor2D {
  const short = A.shape[1];
  const gram = matMul(A, A, true, false).dataSync();
  const rows = Array.from({ length: short }, (_, i) =>
    Array.from(gram.subarray(i * short, (i + 1) * short)),
  );
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(new Matrix(rows), {
    assumeSymmetric: true,
  });
  const order = realEigenvalues
    .map((_, i) => i)
    .sort((i, j) => realEigenvalues[j]! - realEigenvalues[i]!)
    .slice(0, r);
  const values = Float32Array.from({ length: short * r }, (_, at) =>
    eigenvectorMatrix.get(Math.floor(at / r), order[at % r]!),
  );
  return tensor2d(values, [short, r]);
}
