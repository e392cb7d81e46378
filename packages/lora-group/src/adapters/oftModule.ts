import { CheckpointError } from '@orth/backend';
import { sub, type Tensor, tensor, tidy, type Variable, variable } from '@tensorflow/tfjs-core';
import { expectShape, type FileTensor } from '../files/fileTensor.js';
import { oftRotation, oftWeight } from '../lora/oft.js';
import { triangleSize } from '../orthoRegs/skewSymmetric.js';
import type { AdapterModule } from './adapterModule.js';
import { freeName, type Target } from './target.js';

/** Rotations of blocks of one weight's inputs, `v [in/b, b (b − 1) / 2]`; the update is `(R − I) W`. */
export class OftModule implements AdapterModule {
  readonly factors: Readonly<Record<string, Variable>>;
  readonly addsToOutput = false;
  private readonly v: Variable;

  constructor(
    target: Target,
    readonly options: {
      readonly blockSize: number;
      readonly neumannTerms: number | undefined;
      readonly name: string;
    },
    values?: Float32Array,
  ) {
    const { blockSize: b, name } = options;
    const shape = [target.inSize / b, (b * (b - 1)) / 2];
    const start = tensor(values ?? new Float32Array(shape[0]! * shape[1]!), shape);
    this.v = variable(start, true, freeName(`${target.path}/oft_R.${name}`));
    start.dispose();
    this.factors = { v: this.v };
  }

  delta(W: Tensor): Tensor {
    const { neumannTerms: terms } = this.options;
    return tidy(() => {
      const R = oftRotation(this.v, terms === undefined ? {} : { method: 'neumann', terms });
      return sub(oftWeight(R, W), W);
    });
  }

  contribution(): Tensor {
    throw new Error('OftModule.contribution: a rotation replaces the weight');
  }

  async save(): Promise<Record<string, FileTensor>> {
    const data = Float32Array.from(await this.v.data());
    return { 'oft_R.weight': { shape: this.v.shape, data } };
  }

  dispose(): void {
    this.v.dispose();
  }
}

/**
 * Demands inputs that the block size divides.
 * @throws RangeError naming the target
 */
export function checkOftTarget(caller: string, { path, inSize }: Target, blockSize: number): void {
  if (inSize % blockSize === 0 && blockSize > 1) return;
  throw new RangeError(
    `${caller}: blockSize must be > 1 and divide the ${inSize} inputs of ${path}, got ${blockSize}`,
  );
}

/**
 * Values out of a file.
 * @throws CheckpointError if they are missing or have another shape
 */
export function oftFromFile({ path, inSize }: Target, parts: ReadonlyMap<string, FileTensor>) {
  const v = parts.get('oft_R.weight');
  if (!v) {
    const rule = `${path}.oft_R.weight must be in the file`;
    throw new CheckpointError(`loadAdapter: ${rule}; nothing was changed`);
  }
  const blockSize = triangleSize(v.shape[1] ?? 0);
  const blocks = inSize / blockSize;
  if (!Number.isInteger(blocks)) {
    const rule = `${path}.oft_R.weight must have blocks that divide ${inSize} inputs`;
    throw new CheckpointError(`loadAdapter: ${rule}, got [${v.shape}]; nothing was changed`);
  }
  expectShape(`${path}.oft_R.weight`, v, [blocks, (blockSize * (blockSize - 1)) / 2]);
  return { values: v.data, blockSize };
}
