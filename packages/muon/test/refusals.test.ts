import { CheckpointError } from '@orth/backend';
import {
  AdamW,
  DctAdamW,
  decodeState,
  encodeState,
  Muon,
  NorMuon,
  type OptimizerState,
  Root,
} from '@orth/muon';
import { expectTensorClose } from '@orth/testing';
import {
  clone,
  fill,
  type Tensor,
  tensor2d,
  tidy,
  type Variable,
  variable,
  zeros,
} from '@tensorflow/tfjs-core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

let w: Variable;
beforeEach(() => {
  w = variable(zeros([4, 5]), true, 'refusals/w');
});
afterEach(() => w.dispose());

const step = (optimizer: Muon | AdamW | DctAdamW | NorMuon | Root, gradient: Tensor) => {
  optimizer.applyGradients([{ name: w.name, tensor: gradient }]);
  gradient.dispose();
};

/** The state after one step, with a slot's first number changed. */
async function damaged(
  optimizer: AdamW | DctAdamW | NorMuon,
  slot: string,
  value: unknown,
): Promise<OptimizerState> {
  step(optimizer, fill([4, 5], 0.5));
  const state = structuredClone(await optimizer.saveState());
  const { slots } = state.variables[0]!;
  const data = Array.from(slots[slot]!.data) as unknown[];
  data[0] = value;
  return {
    ...state,
    variables: [
      {
        ...state.variables[0]!,
        slots: { ...slots, [slot]: { ...slots[slot]!, data: data as number[] } },
      },
    ],
  };
}

describe('a saved state on which a step would fail', () => {
  const dct = () => new DctAdamW({ rank: 2, updateGap: 9 });
  it.each<[string, () => AdamW | DctAdamW | NorMuon, unknown, RegExp]>([
    ['indices', dct, 4, /w\/indices must hold indices of basis vectors, got 4 at 0/],
    ['indices', dct, -1, /w\/indices must hold indices of basis vectors, got -1 at 0/],
    ['secondMoment', dct, -1e-3, /w\/secondMoment must hold numbers >= 0/],
    [
      'secondMoment',
      () => new AdamW(),
      -1,
      /w\/secondMoment must hold numbers >= 0, got -1 at 0; nothing was changed/,
    ],
    ['neuronMoment', () => new NorMuon(), -1, /w\/neuronMoment must hold numbers >= 0/],
    ['secondMoment', () => new AdamW(), Number.NaN, /must hold numbers, got NaN at 0/],
    ['secondMoment', () => new AdamW(), 1e300, /must hold numbers, got 1e\+300 at 0/],
    ['secondMoment', () => new AdamW(), 1n, /must hold numbers, got 1 at 0/],
  ])('is refused: %s', async (slot, make, value, message) => {
    const optimizer = make();
    const state = await damaged(optimizer, slot, value);
    const before = await optimizer.saveState();
    expect(() => optimizer.loadState(state, [w])).toThrow(CheckpointError);
    expect(() => optimizer.loadState(state, [w])).toThrow(message);
    expect(await optimizer.saveState()).toEqual(before);
    optimizer.dispose();
  });

  it('is no state whose second moment has overflowed: it continues as it was', async () => {
    const [one, two] = [new AdamW(), new AdamW()];
    step(one, fill([4, 5], 1e25));
    two.loadState(decodeState(encodeState(await one.saveState())), [w]);
    expect(await two.saveState()).toEqual(await one.saveState());
    one.dispose();
    two.dispose();
  });

  it.each([[undefined], [{}], [[null]], [[{ name: 'iter' }]], [[{ name: 'iter', tensor: 3 }]]])(
    'is refused as weights: %s',
    async (weights) => {
      const optimizer = new Muon();
      await expect(optimizer.setWeights(weights as never)).rejects.toThrow(CheckpointError);
      optimizer.dispose();
    },
  );
});

describe('a step', () => {
  it('refuses a list of something else than named gradients', () => {
    const optimizer = new Muon();
    for (const entry of [null, {}, zeros([1])]) {
      expect(() => optimizer.applyGradients([entry] as never)).toThrow(
        /Muon.applyGradients: gradients must hold { name, tensor }/,
      );
    }
    optimizer.dispose();
  });

  it('takes an empty variable to AdamW, and refuses it as a matrix', () => {
    const empty = variable(zeros([0, 5]), true, 'refusals/empty');
    const optimizer = new Muon();
    expect(optimizer.describeGroups([empty])).toMatchObject([
      { optimizer: 'adamW', reason: 'empty' },
    ]);
    const forced = new Muon({ groups: [{ match: /empty/, optimizer: 'muon' }] });
    const gradients = [{ name: empty.name, tensor: zeros([0, 5]) }];
    expect(() => forced.applyGradients(gradients)).toThrow(/a matrix must not be empty/);
    optimizer.applyGradients(gradients);
    for (const x of [empty, gradients[0]!.tensor]) x.dispose();
    optimizer.dispose();
    forced.dispose();
  });
});

describe('Root', () => {
  it('keeps a fixed threshold fixed, however rarely thresholds are computed', () => {
    const gradients = Array.from({ length: 4 }, (_, t) =>
      tensor2d(
        Array.from({ length: 20 }, (_, i) => Math.sin(7 * i + 3 * t) * 3 ** t),
        [4, 5],
      ),
    );
    const weightsAfter = (thresholdEvery: number) => {
      w.assign(tidy(() => zeros([4, 5])));
      const optimizer = new Root({ threshold: 0.5, thresholdEvery, learningRate: 0.1 });
      for (const gradient of gradients) step(optimizer, clone(gradient));
      optimizer.dispose();
      return clone(w);
    };
    const [every, third] = [weightsAfter(1), weightsAfter(3)];
    expectTensorClose(third, every, { rtol: 0, atol: 0 });
    for (const x of [every, third, ...gradients]) x.dispose();
  });
});
