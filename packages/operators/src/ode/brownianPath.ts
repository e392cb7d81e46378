import type { Random } from '@orth/backend';
import { add, mul, sub, type Tensor, tidy } from '@tensorflow/tfjs-core';
import type { NoiseIncrements } from './sosri.js';

interface Piece extends NoiseIncrements {
  readonly step: number;
}

/**
 * Two Brownian motions whose increments are drawn as a solver asks for them. A step that is rejected and made shorter keeps the
 * path: its increment is split by a Brownian bridge, and the rest waits for the steps that follow (C. Rackauckas, Q. Nie,
 * *Adaptive methods for stochastic differential equations via natural embeddings and rejection sampling with memory*, 2017).
 */
export class BrownianPath {
  readonly #random: Random;
  readonly #shape: number[];
  /** What of the path is known beyond the current time, next piece last. */
  readonly #ahead: Piece[] = [];

  constructor(random: Random, shape: readonly number[]) {
    this.#random = random;
    this.#shape = [...shape];
  }

  /** Increments over the next `step`; the caller owns them. */
  next(step: number): NoiseIncrements {
    let rest = step;
    let total: NoiseIncrements | undefined;
    // A sliver below rounding is no piece of its own.
    while (rest > step * 1e-12) {
      const known = this.#ahead.pop();
      let piece: Piece;
      if (!known) piece = { step: rest, dW: this.#draw(rest), dZ: this.#draw(rest) };
      else if (known.step <= rest * (1 + 1e-12)) piece = known;
      else piece = this.#split(known, rest);
      rest -= piece.step;
      total = total ? this.#join(total, piece) : piece;
    }
    return { dW: total!.dW, dZ: total!.dZ };
  }

  /** Takes back increments over a rejected `step`, which the path goes through nevertheless. */
  putBack(step: number, { dW, dZ }: NoiseIncrements): void {
    this.#ahead.push({ step, dW, dZ });
  }

  dispose(): void {
    for (const { dW, dZ } of this.#ahead.splice(0)) {
      dW.dispose();
      dZ.dispose();
    }
  }

  #draw(variance: number): Tensor {
    return this.#random.normalTensor(this.#shape, 0, Math.sqrt(variance));
  }

  /** The first `step` of a longer piece; the rest goes back. */
  #split(piece: Piece, step: number): Piece {
    const q = step / piece.step;
    const bridge = (increment: Tensor): [Tensor, Tensor] => {
      const draw = this.#draw(q * (1 - q) * piece.step);
      const part = tidy(() => add(mul(increment, q), draw));
      const rest = sub(increment, part);
      draw.dispose();
      increment.dispose();
      return [part, rest];
    };
    const [dW, restW] = bridge(piece.dW);
    const [dZ, restZ] = bridge(piece.dZ);
    this.#ahead.push({ step: piece.step - step, dW: restW, dZ: restZ });
    return { step, dW, dZ };
  }

  #join(one: NoiseIncrements, other: NoiseIncrements): NoiseIncrements {
    const joined = { dW: add(one.dW, other.dW), dZ: add(one.dZ, other.dZ) };
    for (const { dW, dZ } of [one, other]) {
      dW.dispose();
      dZ.dispose();
    }
    return joined;
  }
}
