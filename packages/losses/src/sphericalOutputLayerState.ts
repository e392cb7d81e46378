import { CheckpointError } from '@orth/backend';
import { FactoredWeights } from './factoredWeights.js';

/** The whole state of a `SphericalOutputLayer`: plain data that survives structured cloning. */
export interface SphericalOutputLayerState {
  readonly format: 'orth-spherical-output-layer';
  readonly version: 1;
  /** D */
  readonly classes: number;
  /** Columns of W, that of the bias included. */
  readonly columns: number;
  readonly useBias: boolean;
  /** Name of the loss, with its parameters. */
  readonly loss: string;
  readonly renormalizations: number;
  /** `[D, columns]` */
  readonly V: Float32Array;
  /** `[D]`, how many renormalisations each row has passed */
  readonly ages: Int32Array;
  /** Renormalisations that rows may have to pass, in order: matrices `[n, columns, columns]` and offsets `[n, columns]`. */
  readonly mapMatrices: Float64Array;
  readonly mapOffsets: Float64Array;
  /** `[columns, columns]`, row-major. */
  readonly U: Float64Array;
  /** U⁻ᵀ */
  readonly inverse: Float64Array;
  /** `[columns]` */
  readonly omega: Float64Array;
  /** WᵀW */
  readonly Q: Float64Array;
  /** Wᵀ1, `[columns]` */
  readonly columnSums: Float64Array;
}

const FORMAT = 'orth-spherical-output-layer';

/** Copies the state out. */
export function writeState(
  weights: FactoredWeights,
  loss: string,
  useBias: boolean,
): SphericalOutputLayerState {
  const { D, d, V, ages, maps, current, renormalizations } = weights;
  const mapMatrices = new Float64Array(maps.count * d * d);
  const mapOffsets = new Float64Array(maps.count * d);
  for (const [i, { matrix, offset }] of maps.closed.entries()) {
    mapMatrices.set(matrix, i * d * d);
    mapOffsets.set(offset, i * d);
  }
  return {
    format: FORMAT,
    version: 1,
    classes: D,
    columns: d,
    useBias,
    loss,
    renormalizations,
    V: V.slice(),
    ages: ages.slice(),
    mapMatrices,
    mapOffsets,
    U: current.U.slice(),
    inverse: current.inverse.slice(),
    omega: current.omega.slice(),
    Q: current.Q.slice(),
    columnSums: current.columnSums.slice(),
  };
}

/** What a state must belong to. */
interface Owner {
  readonly D: number;
  readonly d: number;
  readonly loss: string;
  readonly useBias: boolean;
}

/**
 * Weights as they were when saved.
 * @throws CheckpointError that names what is wrong
 */
export function readState(state: unknown, owner: Owner): FactoredWeights {
  const fail = (problem: string): never => {
    throw new CheckpointError(`loadState: ${problem}; nothing was changed`);
  };
  if (typeof state !== 'object' || state === null || !('format' in state)) {
    return fail('state must be what saveState() gives');
  }
  const saved = state as unknown as SphericalOutputLayerState;
  if (saved.format !== FORMAT) fail(`format must be ${FORMAT}, got ${String(saved.format)}`);
  if (saved.version !== 1) fail(`version must be 1, got ${String(saved.version)}`);
  const { D, d } = owner;
  const wanted = { classes: D, columns: d, useBias: owner.useBias, loss: owner.loss };
  for (const [key, want] of Object.entries(wanted)) {
    const got = saved[key as keyof typeof wanted];
    if (got !== want) fail(`${key} must be ${want}, got ${String(got)}`);
  }
  if (!Number.isSafeInteger(saved.renormalizations) || saved.renormalizations < 0) {
    fail('renormalizations must be an integer >= 0');
  }
  type Numbers = Float32Array | Float64Array | Int32Array;
  const take = <T extends Numbers>(key: string, kind: new (n: number) => T, size?: number): T => {
    const values = (saved as unknown as Record<string, unknown>)[key];
    if (!(values instanceof kind)) return fail(`${key} must be a ${kind.name}`);
    if (size !== undefined && values.length !== size) {
      fail(`${key} must hold ${size} numbers, got ${values.length}`);
    }
    for (let i = 0; i < values.length; i++) {
      if (!Number.isFinite(values[i])) fail(`${key} must be finite, got ${values[i]} at ${i}`);
    }
    return values;
  };
  const mapMatrices = take('mapMatrices', Float64Array);
  const count = mapMatrices.length / (d * d);
  if (!Number.isInteger(count)) fail('mapMatrices must hold whole matrices');
  const mapOffsets = take('mapOffsets', Float64Array, count * d);
  const ages = take('ages', Int32Array, D);
  if (ages.some((age) => age < 0 || age > count)) fail(`ages must lie in [0, ${count}]`);
  const V = take('V', Float32Array, D * d);
  const small = {
    U: take('U', Float64Array, d * d),
    inverse: take('inverse', Float64Array, d * d),
    omega: take('omega', Float64Array, d),
    Q: take('Q', Float64Array, d * d),
    columnSums: take('columnSums', Float64Array, d),
  };

  const weights = new FactoredWeights(D, d, V.slice());
  weights.ages.set(ages);
  weights.renormalizations = saved.renormalizations;
  for (let i = 0; i < count; i++) {
    weights.maps.close({
      matrix: mapMatrices.slice(i * d * d, (i + 1) * d * d),
      offset: mapOffsets.slice(i * d, (i + 1) * d),
    });
  }
  for (const [key, values] of Object.entries(small)) {
    weights.current[key as keyof typeof small].set(values);
  }
  return weights;
}
