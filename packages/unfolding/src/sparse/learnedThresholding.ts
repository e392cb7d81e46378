/** What LISTA, LISTA-CP and ALISTA share: layers with own weights, checks, checkpoints. */
import { checkInteger, checkNumber, checkOptions, checkTensor } from '@orth/backend';
import {
  dispose,
  keep,
  type Scalar,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  tidy,
  type Variable,
  variable,
} from '@tensorflow/tfjs-core';
import {
  checkNetworkState,
  loadWeights,
  type NamedVariables,
  type NetworkState,
  saveNetwork,
} from '../training/networkState.js';
import { Measurement } from './linearOperator.js';
import { inverseLipschitz } from './lipschitz.js';
import { objectivePacked } from './sparseObjective.js';
import type { ApplyOptions, UnfoldedNetwork } from './unfoldedNetwork.js';

/** A learned thresholding network on a real matrix; `Weights` are the names of a layer's weights. */
export abstract class LearnedThresholding<Weights extends string> implements UnfoldedNetwork {
  /** Number of layers. */
  readonly layers: number;
  /** Weight of the l1 penalty, which sets the initial thresholds and the objective. */
  readonly lambda: number;
  /** Weights of each layer, first to last; a tied network repeats one object. */
  readonly weights: Readonly<Record<Weights, Variable>>[] = [];
  /** The matrix, `[M, N]`; a copy. */
  protected readonly A: Tensor2D;
  private readonly measurement: Measurement;

  protected constructor(
    private readonly className: string,
    A: Tensor2D,
    { layers, lambda }: { layers: number; lambda: number },
  ) {
    checkTensor(className, 'A', A, { rank: 2 });
    checkInteger(className, 'layers', layers, { min: 1 });
    checkNumber(className, 'lambda', lambda, { min: 0 });
    this.layers = layers;
    this.lambda = lambda;
    this.A = keep(A.clone());
    this.measurement = new Measurement(className, A);
  }

  /** The layer's output. */
  protected abstract layer(k: number, x: Tensor2D | undefined, y: Tensor2D): Tensor2D;

  /**
   * Makes variables of all layers.
   * @param make - initial values of a layer; is given 1/L
   * @param tied - whether all layers share one set
   */
  protected createLayers(make: (step: Scalar) => Record<Weights, Tensor>, tied = false): void {
    const step = inverseLipschitz(this.className, this.measurement);
    const create = () => {
      const entries = Object.entries<Tensor>(tidy(() => make(step))).map(([name, value]) => {
        const made = variable(value);
        value.dispose();
        return [name, made];
      });
      return Object.fromEntries(entries);
    };
    for (let k = 0; k < this.layers; k++) {
      this.weights.push(tied && k > 0 ? this.weights[0]! : create());
    }
    step.dispose();
  }

  /** Options that rebuild the network. */
  protected config(): Record<string, unknown> {
    return { layers: this.layers, lambda: this.lambda };
  }

  private named(): NamedVariables {
    return [...new Set(this.weights)].flatMap((layer, k) =>
      Object.entries<Variable>(layer).map(([name, v]) => [`${name}/${k}`, v] as const),
    );
  }

  /** Weights of the first layers. */
  variablesUpTo(layers: number): Variable[] {
    const used = new Set(this.weights.slice(0, layers));
    return [...used].flatMap((layer) => Object.values<Variable>(layer));
  }

  /**
   * The last layer's output, differentiable in `y` and the weights.
   *
   * @param y - `[B, M]`
   * @returns `[B, N]`
   * @throws TypeError or RangeError for a wrong argument
   */
  apply(y: Tensor, options: ApplyOptions = {}): Tensor2D {
    return tidy(() => this.run(y, options).at(-1)!);
  }

  /** The outputs of all layers, first to last. */
  intermediate(y: Tensor, options: ApplyOptions = {}): Tensor2D[] {
    return tidy(() => this.run(y, options, true));
  }

  private run(y: Tensor, options: ApplyOptions, all = false): Tensor2D[] {
    const caller = `${this.className}.apply`;
    checkOptions(caller, options, ['layers', 'x0']);
    const { layers = this.layers, x0 } = options;
    checkInteger(caller, 'layers', layers, { min: 1, max: this.layers });
    const [M, N] = this.A.shape;
    checkTensor(caller, 'y', y, { shape: [null, M] });
    if (x0 !== undefined) checkTensor(caller, 'x0', x0, { shape: [y.shape[0]!, N] });
    let x = x0 as Tensor2D | undefined;
    const outputs: Tensor2D[] = [];
    for (let k = 0; k < layers; k++) {
      x = this.layer(k, x, y as Tensor2D);
      if (all || k === layers - 1) outputs.push(x);
    }
    return outputs;
  }

  /**
   * `½‖y − A x‖² + λ‖x‖₁` of each sample, shape `[B]`; differentiable.
   * @throws TypeError or RangeError for a wrong argument
   */
  objective(x: Tensor, y: Tensor): Tensor1D {
    const op = this.measurement.bind(y);
    checkTensor(`${this.className}.objective`, 'x', x, { shape: op.inputShape });
    return tidy(() => objectivePacked(op, { kind: 'ista', lambda: this.lambda }, x, y));
  }

  /** Weights and options, without A. */
  saveState(): Promise<NetworkState> {
    return saveNetwork(this.className, this.config(), this.named());
  }

  /**
   * Takes over the weights of a saved network of the same kind and size.
   * @throws CheckpointError, with nothing changed, if the state does not fit
   */
  loadState(state: NetworkState): void {
    const caller = `${this.className}.loadState`;
    const { weights } = checkNetworkState(caller, state, this.className);
    loadWeights(caller, this.named(), weights);
  }

  /** Frees weights and the copy of A. */
  dispose(): void {
    dispose(this.named().map(([, v]) => v));
    this.measurement.dispose();
    this.A.dispose();
  }
}
