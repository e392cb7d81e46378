import { CheckpointError, crc32 } from '@orth/backend';

/** A saved `OnlineOrthogonalDictionary`: plain data, fit for JSON. float32 values survive JSON exactly. */
export interface OnlineDictionaryState {
  readonly format: 'orth/online-orthogonal-dictionary';
  readonly version: 1;
  /** N. */
  readonly size: number;
  readonly p: number;
  /** Batches seen. */
  readonly step: number;
  /** Samples seen. */
  readonly samples: number;
  /** Batches refused because they held NaN or an infinity. */
  readonly nonFiniteBatches: number;
  readonly polar: 'newtonSchulz' | 'exact' | 'custom';
  /** Whether the schedules were functions of the caller's, which must be given again. */
  readonly customRho: boolean;
  readonly customGamma: boolean;
  /** D, row-major. */
  readonly dictionary: readonly number[];
  /** Running mean of the gradient, row-major. */
  readonly gradient: readonly number[];
  /** CRC-32 of everything else. */
  readonly checksum: number;
}

/** The checksum that a state must carry. */
export function stateChecksum(state: Omit<OnlineDictionaryState, 'checksum'>): number {
  const { size, p, step, samples, nonFiniteBatches, polar, customRho, customGamma } = state;
  const head = JSON.stringify([
    size,
    p,
    step,
    samples,
    nonFiniteBatches,
    polar,
    customRho,
    customGamma,
  ]);
  const values = Float32Array.from([...state.dictionary, ...state.gradient]);
  const bytes = new Uint8Array(head.length + values.byteLength);
  for (let i = 0; i < head.length; i++) bytes[i] = head.charCodeAt(i);
  bytes.set(new Uint8Array(values.buffer), head.length);
  return crc32(bytes);
}

const isCount = (x: unknown) => Number.isSafeInteger(x) && (x as number) >= 0;

/**
 * Demands a whole state of this kind.
 * @throws CheckpointError that says what is wrong with it
 */
export function checkState(caller: string, state: unknown): asserts state is OnlineDictionaryState {
  const refuse = (why: string): never => {
    throw new CheckpointError(`${caller}: state ${why}`);
  };
  if (typeof state !== 'object' || state === null) refuse('must be an object');
  const s = state as Partial<Record<keyof OnlineDictionaryState, unknown>>;
  if (s.format !== 'orth/online-orthogonal-dictionary') refuse('is of something else');
  if (s.version !== 1) refuse(`must have version 1, got ${String(s.version)}`);
  const size = s.size as number;
  if (!isCount(size) || size < 1) refuse('must have a size >= 1');
  if (typeof s.p !== 'number' || !(s.p > 2 && Number.isFinite(s.p))) refuse('must have p > 2');
  if (!isCount(s.step) || !isCount(s.samples) || !isCount(s.nonFiniteBatches)) {
    refuse('must count steps, samples and refused batches');
  }
  if (!['newtonSchulz', 'exact', 'custom'].includes(s.polar as string)) {
    refuse('must name its polar factor');
  }
  for (const key of ['dictionary', 'gradient'] as const) {
    const values = s[key];
    if (!Array.isArray(values) || values.length !== size * size) {
      refuse(`must hold ${size * size} numbers of ${key}`);
    }
    if (!(values as unknown[]).every((x) => Number.isFinite(x))) {
      refuse(`must hold finite numbers of ${key}`);
    }
  }
  if (stateChecksum(state as OnlineDictionaryState) !== s.checksum) {
    refuse('is damaged: its checksum differs');
  }
}
