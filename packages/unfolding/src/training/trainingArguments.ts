/** What the trainers of this package have in common: checks, and a learning rate by step. */
import { checkInteger, checkNumber } from '@orth/backend';
import type { DescentRule } from './descent.js';

/** A learning rate, constant or by step (from 0). */
export type LearningRate = number | ((step: number) => number);

/** @throws TypeError or RangeError unless `rule` is a rule of descent */
export function checkRule(caller: string, rule: unknown): asserts rule is DescentRule {
  if (rule === 'adam' || rule === 'sgd' || typeof rule === 'function') return;
  throw new TypeError(
    `${caller}: optimizer must be 'adam', 'sgd' or a function that makes one, got ${String(rule)}`,
  );
}

/** @throws TypeError or RangeError unless `rate` is positive or a function */
export function checkRate(caller: string, rate: unknown): asserts rate is LearningRate {
  if (typeof rate !== 'function') checkNumber(caller, 'learningRate', rate, { above: 0 });
}

/** The rate at a step. */
export function rateAt(caller: string, rate: LearningRate, step: number): number {
  if (typeof rate === 'number') return rate;
  const value = rate(step);
  checkNumber(caller, `learningRate(${step})`, value, { min: 0 });
  return value;
}

/** @throws TypeError unless `f` is a function */
export function checkFunction(caller: string, argument: string, f: unknown): void {
  if (typeof f === 'function') return;
  throw new TypeError(`${caller}: ${argument} must be a function, got ${typeof f}`);
}

/** Positive integers among options. */
export function checkCounts(caller: string, counts: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(counts)) checkInteger(caller, name, value, { min: 1 });
}
