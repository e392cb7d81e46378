import {
  add,
  div,
  mul,
  sqrt,
  square,
  sub,
  type Tensor,
  tensor,
  tidy,
  type Variable,
  variable,
  zerosLike,
} from '@tensorflow/tfjs-core';
import { freeName } from '../adapters/target.js';

const BETA1 = 0.9;
const BETA2 = 0.999;
const EPSILON = 1e-8;

/** Adam's state as plain data. */
export interface AdamState {
  readonly steps: number;
  readonly first: readonly (readonly number[])[];
  readonly second: readonly (readonly number[])[];
}

/** Adam whose whole state can be saved and restored: tfjs's forgets its powers of β, so that training cannot go on exactly. */
export class Adam {
  private steps = 0;
  private readonly first: Variable[];
  private readonly second: Variable[];

  constructor(private readonly variables: readonly Variable[]) {
    const moments = (name: string) =>
      variables.map((x) =>
        tidy(() => variable(zerosLike(x), false, freeName(`${x.name}/${name}`))),
      );
    this.first = moments('m');
    this.second = moments('v');
  }

  /** One step down gradients, by the variables' names. */
  step(gradients: Readonly<Record<string, Tensor>>, learningRate: number): void {
    this.steps++;
    const [c1, c2] = [1 - BETA1 ** this.steps, 1 - BETA2 ** this.steps];
    this.variables.forEach((x, i) => {
      const gradient = gradients[x.name];
      if (!gradient) return;
      tidy(() => {
        const [m, v] = [this.first[i]!, this.second[i]!];
        m.assign(add(mul(m, BETA1), mul(gradient, 1 - BETA1)));
        v.assign(add(mul(v, BETA2), mul(square(gradient), 1 - BETA2)));
        const direction = div(div(m, c1), add(sqrt(div(v, c2)), EPSILON));
        x.assign(sub(x, mul(direction, learningRate)));
      });
    });
  }

  /** All of it. */
  async state(): Promise<AdamState> {
    const read = (list: readonly Variable[]) =>
      Promise.all(list.map(async (x) => [...(await x.data())]));
    return { steps: this.steps, first: await read(this.first), second: await read(this.second) };
  }

  /** Whether this is the state of an optimizer of as many and as large variables. */
  accepts(state: AdamState): boolean {
    const fits = (list: AdamState['first']) =>
      Array.isArray(list) &&
      list.length === this.variables.length &&
      list.every((x, i) => Array.isArray(x) && x.length === this.variables[i]!.size);
    return Number.isInteger(state?.steps) && fits(state.first) && fits(state.second);
  }

  /** Goes on from a state. */
  restore(state: AdamState): void {
    this.steps = state.steps;
    const put = (list: readonly Variable[], values: AdamState['first']) =>
      list.forEach((x, i) => {
        tidy(() => x.assign(tensor([...values[i]!], x.shape)));
      });
    put(this.first, state.first);
    put(this.second, state.second);
  }

  dispose(): void {
    for (const x of [...this.first, ...this.second]) x.dispose();
  }
}
