/** ISTA and IHT unrolled into a network whose only weights are the step sizes. */
import { checkInteger, checkNumber, checkOneOf, checkOptions } from '@orth/backend';
import {
  broadcastTo,
  fill,
  keep,
  reshape,
  slice,
  Tensor,
  type Tensor1D,
  tensor1d,
  tidy,
  type Variable,
  variable,
} from '@tensorflow/tfjs-core';
import {
  checkNetworkState,
  loadWeights,
  type NetworkState,
  saveNetwork,
} from '../training/networkState.js';
import { iht, ista } from './ista.js';
import { type LinearOperator, Measurement } from './linearOperator.js';
import { inverseLipschitz } from './lipschitz.js';
import { pack, unpack } from './packedComplex.js';
import type { SparseResult, SparseSolverOptions } from './proximalGradient.js';
import { type ShrinkageKind, type ShrinkageRule, shrinkageStep } from './shrinkageStep.js';
import { checkBatch, objectivePacked } from './sparseObjective.js';
import type { ApplyOptions, UnfoldedNetwork } from './unfoldedNetwork.js';

/** Options of {@link UnfoldedSparseRecovery}. */
export interface UnfoldedOptions {
  /** `'ista'`: l1 penalty, soft threshold; `'iht'`: l0 penalty, hard threshold. Default `'ista'` */
  readonly kind?: ShrinkageKind;
  /** Layers, >= 1. Default 10 */
  readonly layers?: number;
  /** Weight of the penalty, >= 0; not trained. */
  readonly lambda: number;
  /** Initial step size of every layer, or of each. Default `1/L` */
  readonly init?: number | readonly number[];
}

/**
 * T proximal-gradient steps as a network with T weights, the step sizes `a₁ … a_T`:
 * `x ← prox(x + a_t Aᴴ(y − A x))` from `x = 0`, prox of `a_t λ‖·‖₁` (ISTA) or `a_t λ‖·‖₀` (IHT). Untrained it is plain
 * ISTA or IHT. Learned steps may exceed 2/L by far; they belong to the A, λ and noise that they were trained with.
 *
 * @example
 * const net = new UnfoldedSparseRecovery(A, { lambda: 0.1, layers: 10 });
 * await trainUnfolded(net, (batch) => problem.sample(batch), { loss: 'unsupervised' });
 * const x = net.apply(y);
 * @see Nagahisa, Hayakawa, Iiguni 2025, arXiv 2509.01331
 */
export class UnfoldedSparseRecovery implements UnfoldedNetwork {
  /** Number of layers. */
  readonly layers: number;
  /** `'ista'` or `'iht'`. */
  readonly kind: ShrinkageKind;
  /** Weight of the penalty. */
  readonly lambda: number;
  /** The step sizes, shape `[layers]`. */
  readonly stepSizes: Variable;
  private readonly A: LinearOperator;
  private readonly measurement: Measurement;
  private readonly rule: ShrinkageRule;

  /**
   * Makes the network; nothing is read back.
   *
   * @param A - matrix `[M, N]`, float32 or complex64 (a copy is kept), or a pair of functions
   * @throws TypeError or RangeError for a wrong argument
   */
  constructor(A: LinearOperator, options: UnfoldedOptions) {
    const caller = 'UnfoldedSparseRecovery';
    checkOptions(caller, options, ['kind', 'layers', 'lambda', 'init']);
    const { kind = 'ista', layers = 10, lambda, init } = options;
    checkOneOf(caller, 'kind', kind, ['ista', 'iht']);
    checkInteger(caller, 'layers', layers, { min: 1 });
    checkNumber(caller, 'lambda', lambda, { min: 0 });
    if (Array.isArray(init)) {
      if (init.length !== layers) {
        throw new RangeError(
          `${caller}: init must hold ${layers} step sizes, one a layer, got ${init.length}`,
        );
      }
      for (const [i, a] of init.entries()) checkNumber(caller, `init[${i}]`, a, { min: 0 });
    } else if (init !== undefined) checkNumber(caller, 'init', init, { min: 0 });
    this.measurement = new Measurement(caller, A);
    this.A = A instanceof Tensor ? keep(A.clone()) : A;
    this.layers = layers;
    this.kind = kind;
    this.lambda = lambda;
    this.rule = { kind, lambda };
    try {
      this.stepSizes = tidy(() => {
        if (Array.isArray(init)) return variable(tensor1d(init as number[]));
        if (init !== undefined) return variable(fill([layers], init as number));
        const a = reshape(inverseLipschitz(caller, this.measurement), [1]);
        return variable(broadcastTo(a, [layers]));
      });
    } catch (error) {
      this.disposeOperator();
      throw error;
    }
  }

  /** The step sizes; those of layers beyond `t` get zero gradients from a loss on layer `t`. */
  variablesUpTo(_layers: number): Variable[] {
    return [this.stepSizes];
  }

  /**
   * The last layer's output, differentiable in `y` and the step sizes.
   *
   * @param y - `[B, M]`, or as the functions have it
   * @throws TypeError or RangeError for a wrong argument
   */
  apply(y: Tensor, options: ApplyOptions = {}): Tensor {
    return tidy(() => this.run(y, options).at(-1)!);
  }

  /** The outputs of all layers, first to last; options as for {@link apply}. */
  intermediate(y: Tensor, options: ApplyOptions = {}): Tensor[] {
    return tidy(() => this.run(y, options, true));
  }

  private run(y: Tensor, options: ApplyOptions, all = false): Tensor[] {
    const caller = 'UnfoldedSparseRecovery.apply';
    checkOptions(caller, options, ['layers', 'x0']);
    const { layers = this.layers, x0 } = options;
    checkInteger(caller, 'layers', layers, { min: 1, max: this.layers });
    const op = this.measurement.bind(y);
    if (x0 !== undefined) checkBatch(caller, 'x0', x0, op);
    const target = pack(y);
    let x = x0 && pack(x0);
    const outputs: Tensor[] = [];
    for (let t = 0; t < layers; t++) {
      const a = reshape(slice(this.stepSizes, [t], [1]), []);
      x = shrinkageStep(op, this.rule, x, target, a);
      if (all || t === layers - 1) outputs.push(unpack(x, op.inputField));
    }
    return outputs;
  }

  /**
   * `½‖y − A x‖² + λ‖x‖₁` or `+ λ‖x‖₀` of each sample, shape `[B]`; differentiable.
   * @throws TypeError or RangeError for a wrong argument
   */
  objective(x: Tensor, y: Tensor): Tensor1D {
    const op = this.measurement.bind(y);
    checkBatch('UnfoldedSparseRecovery.objective', 'x', x, op);
    return tidy(() => objectivePacked(op, this.rule, pack(x), pack(y)));
  }

  /**
   * The trained layers as a solver with a report: objective by layer, early stop at a tolerance, warm start. Reads values
   * back, and so sees what `apply` does not.
   *
   * @throws RangeError if a step size became negative, or for a wrong argument
   */
  async solve(
    y: Tensor,
    options: Omit<SparseSolverOptions, 'lambda' | 'stepSize'> = {},
  ): Promise<SparseResult> {
    const run = this.kind === 'iht' ? iht : ista;
    const { steps = this.layers } = options;
    checkInteger('UnfoldedSparseRecovery.solve', 'steps', steps, { min: 0, max: this.layers });
    const { lambda } = this;
    return run(this.A, y, {
      ...options,
      steps,
      lambda,
      stepSize: this.stepSizes as unknown as Tensor1D,
    });
  }

  /** Step sizes and options, without A. */
  saveState(): Promise<NetworkState> {
    const { kind, layers, lambda } = this;
    return saveNetwork('UnfoldedSparseRecovery', { kind, layers, lambda }, [
      ['stepSizes', this.stepSizes],
    ]);
  }

  /**
   * Takes over the step sizes of a saved network with as many layers.
   * @throws CheckpointError, with nothing changed, if the state does not fit
   */
  loadState(state: NetworkState): void {
    const caller = 'UnfoldedSparseRecovery.loadState';
    const { weights } = checkNetworkState(caller, state, 'UnfoldedSparseRecovery');
    loadWeights(caller, [['stepSizes', this.stepSizes]], weights);
  }

  /** Frees the step sizes and the copy of A. */
  dispose(): void {
    this.stepSizes.dispose();
    this.disposeOperator();
  }

  private disposeOperator(): void {
    this.measurement.dispose();
    if (this.A instanceof Tensor) this.A.dispose();
  }
}
