import { CheckpointError } from '@orth/backend';
import type { Work } from './work.js';

/** What ended a run. */
export type StopReason =
  /** The hypergradient's norm (and its bound, where it is formed) is at most `tolerance`. */
  | 'tolerance'
  /** No step is accepted although the lower level is solved as accurately as rounding or its limits allow. */
  | 'accuracyFloor'
  /** `maxIterations` steps were made. */
  | 'maxIterations'
  /** The lower-level cost reached `budget`. */
  | 'budget'
  /** The signal aborted. */
  | 'aborted';

const isRecord = (x: unknown): x is Record<string, unknown> =>
  typeof x === 'object' && x !== null && !Array.isArray(x);

const isFiniteNumber = (x: unknown): x is number => typeof x === 'number' && Number.isFinite(x);

/** Reads fields of a saved state, throwing CheckpointError that names the one at fault. */
export class StateReader {
  readonly record: Record<string, unknown>;

  constructor(
    private readonly caller: string,
    json: unknown,
    format: string,
  ) {
    if (!isRecord(json) || json.format !== format) {
      this.record = {};
      this.fail(`state must be what toJSON() of the same class gives`);
    }
    this.record = json as Record<string, unknown>;
    if (this.record.version !== 1) {
      this.fail(`version must be 1, got ${String(this.record.version)}`);
    }
  }

  fail(problem: string): never {
    throw new CheckpointError(`${this.caller}: ${problem}; nothing was changed`);
  }

  /** A finite number ≥ `min`; integers only where asked. */
  number(name: string, min = 0, integer = false): number {
    const value = this.record[name];
    if (isFiniteNumber(value) && value >= min && (!integer || Number.isInteger(value))) {
      return value;
    }
    return this.fail(`${name} must be ${integer ? 'an integer' : 'a number'} >= ${min}`);
  }

  positive(name: string): number {
    const value = this.number(name);
    return value > 0 ? value : this.fail(`${name} must be a number > 0`);
  }

  /** Makes the object from the saved options; what they break is a broken state. */
  build<T>(make: () => T): T {
    try {
      return make();
    } catch (error) {
      if (error instanceof CheckpointError) throw error;
      return this.fail(`options do not fit: ${error instanceof Error ? error.message : error}`);
    }
  }

  vector(name: string, size: number): Float64Array {
    const value = this.record[name];
    if (Array.isArray(value) && value.length === size && value.every(isFiniteNumber)) {
      return Float64Array.from(value);
    }
    return this.fail(`${name} must be ${size} finite numbers`);
  }

  /** A record inside this one, or nothing where it is absent. */
  nested(name: string): StateReader | undefined {
    const value = this.record[name];
    if (value === undefined) return undefined;
    if (!isRecord(value)) return this.fail(`${name} must be an object`);
    const reader = new StateReader(
      `${this.caller}: ${name}`,
      { ...value, format: '', version: 1 },
      '',
    );
    return reader;
  }

  options(): Record<string, unknown> {
    const { options } = this.record;
    return isRecord(options) ? options : this.fail('options must be an object');
  }

  records<T>(name: string): T[] {
    const value = this.record[name];
    return Array.isArray(value) && value.every(isRecord)
      ? value.map((entry) => ({ ...entry }) as T)
      : this.fail(`${name} must be an array of objects`);
  }

  work(): Work {
    const { work } = this.record;
    const names = ['gradients', 'hessianProducts', 'crossProducts', 'upperEvaluations', 'total'];
    if (!isRecord(work) || names.some((name) => !Number.isSafeInteger(work[name]))) {
      return this.fail('work must hold integer counts');
    }
    return { ...work } as unknown as Work;
  }
}
