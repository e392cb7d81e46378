import {
  cosine,
  linear,
  type Schedule,
  scheduleValue,
  stepDecay,
  warmup,
  warmupStableDecay,
} from '@orth/muon';
import { describe, expect, test } from 'vitest';
import { optionsFromJSON, optionsToJSON } from '../src/config.js';

const values = (schedule: Schedule, ...steps: number[]) =>
  steps.map((step) => Number(scheduleValue(schedule, step).toFixed(6)));

describe('values', () => {
  test('a number is constant', () => expect(values(0.1, 0, 5)).toEqual([0.1, 0.1]));

  test('linear', () => {
    expect(values(linear({ from: 1, steps: 4 }), 0, 1, 4, 9)).toEqual([1, 0.75, 0, 0]);
    expect(values(linear({ from: 0, to: 2, steps: 4 }), 2, 5)).toEqual([1, 2]);
  });

  test('cosine', () => {
    const schedule = cosine({ from: 1, to: 0.5, steps: 4 });
    expect(values(schedule, 0, 2, 4, 9)).toEqual([1, 0.75, 0.5, 0.5]);
    expect(schedule(1)).toBeCloseTo(0.5 + (0.5 * (1 + Math.SQRT1_2)) / 2);
  });

  test('warm-up runs into what follows', () => {
    expect(values(warmup({ from: 0.85, to: 0.95, steps: 10 }), 0, 5, 10, 99)).toEqual([
      0.85, 0.9, 0.95, 0.95,
    ]);
    const then = warmup({ to: linear({ from: 1, steps: 10 }), steps: 4 });
    expect(values(then, 0, 2, 4, 9, 14)).toEqual([0, 0.5, 1, 0.5, 0]);
  });

  test('warm-up, stable, decay', () => {
    const options = { peak: 1, warmupSteps: 2, stableSteps: 3, decaySteps: 4, to: 0.2 };
    const steps = [0, 1, 2, 5, 7, 9, 20];
    expect(values(warmupStableDecay(options), ...steps)).toEqual([0, 0.5, 1, 1, 0.6, 0.2, 0.2]);
    const rooted = warmupStableDecay({ ...options, shape: 'squareRoot' });
    expect(values(rooted, 5, 6, 9)).toEqual([1, 0.6, 0.2]);
    expect(values(warmupStableDecay({ peak: 1, stableSteps: 1, decaySteps: 2 }), 0, 2)).toEqual([
      1, 0.5,
    ]);
  });

  test('steps', () => {
    expect(values(stepDecay({ from: 8, factor: 0.5, every: 3 }), 0, 2, 3, 6)).toEqual([8, 8, 4, 2]);
    const milestones = stepDecay({ from: 8, factor: 0.5, milestones: [1, 5] });
    expect(values(milestones, 0, 1, 4, 5, 9)).toEqual([8, 4, 4, 2, 2]);
  });
});

test('wrong options are refused', () => {
  expect(() => linear({ from: 1 } as never)).toThrow(/steps must be an integer/);
  expect(() => linear({ from: 1, steps: 0 })).toThrow(RangeError);
  expect(() => cosine({ from: 1, steps: 2, end: 0 } as never)).toThrow(/unknown option "end"/);
  expect(() => warmup({ steps: 2 } as never)).toThrow(/warmup: to must be/);
  expect(() => stepDecay({ from: 1, factor: 0.5 })).toThrow(/either every or milestones/);
  expect(() => stepDecay({ from: 1, factor: 0.5, milestones: [3, 2] })).toThrow(RangeError);
  expect(() => stepDecay({ from: 1, factor: 0, every: 1 })).toThrow(RangeError);
  expect(() =>
    warmupStableDecay({ peak: 1, stableSteps: 1, decaySteps: 1, shape: 'steep' as never }),
  ).toThrow(RangeError);
});

describe('as JSON', () => {
  const travel = (options: unknown) =>
    optionsFromJSON(JSON.parse(JSON.stringify(optionsToJSON(options))));

  test.each<[string, Schedule]>([
    ['linear', linear({ from: 1, to: 0.1, steps: 7 })],
    ['cosine', cosine({ from: 1, steps: 7 })],
    ['warmup of cosine', warmup({ steps: 3, to: cosine({ from: 1, steps: 7 }) })],
    ['warmup twice', warmup({ steps: 2, to: warmup({ from: 1, to: 3, steps: 2 }) })],
    ['wsd', warmupStableDecay({ peak: 1, stableSteps: 2, decaySteps: 4, shape: 'cosine' })],
    ['every', stepDecay({ from: 1, factor: 0.3, every: 2 })],
    ['milestones', stepDecay({ from: 1, factor: 0.3, milestones: [2, 3] })],
  ])('%s comes back', (_, schedule) => {
    const { learningRate } = travel({ learningRate: schedule }) as { learningRate: Schedule };
    const steps = [0, 1, 2, 3, 4, 5, 6, 7, 20];
    expect(values(learningRate, ...steps)).toEqual(values(schedule, ...steps));
  });

  test('a pattern matches the same, and has no underscore for tf.layers to turn into camelCase', () => {
    for (const pattern of [/^lm_head\/w_?/i, /a_b\\_c/, /[_x]+/g]) {
      const { match } = travel({ match: pattern }) as { match: RegExp };
      expect(match.source).not.toMatch(/_/);
      expect(match.flags).toBe(pattern.flags);
      for (const text of ['lm_head/w', 'LM_HEAD/w_', 'a_b\\_c', '__x', 'lmhead/w', 'u005f']) {
        pattern.lastIndex = 0;
        match.lastIndex = 0;
        expect(match.test(text), `${pattern} on ${text}`).toBe(pattern.test(text));
      }
    }
  });

  test('functions of the user are refused, and unknown schedules', () => {
    expect(() => optionsToJSON({ groups: [{ match: () => true }] })).toThrow(
      /options\.groups\[0\]\.match/,
    );
    const own = warmup({ steps: 2, to: (step) => step });
    expect(() => optionsToJSON({ learningRate: own })).toThrow(TypeError);
    expect(() => optionsFromJSON({ schedule: 'triangle' })).toThrow(RangeError);
  });
});
