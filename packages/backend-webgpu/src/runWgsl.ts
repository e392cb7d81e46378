/** The seam for compute shaders of one's own: a WGSL function over tensors, run by tfjs's WebGPU backend. */
import { checkOneOf, checkOptions, checkTensor } from '@orth/backend';
import type { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu';
import { backend, type DataType, engine, getBackend, type Tensor } from '@tensorflow/tfjs-core';

/** A number, or a vector of up to four, handed to a shader. */
export interface WgslUniform {
  readonly type: 'f32' | 'i32' | 'u32';
  readonly value: number | readonly number[];
}

/** A compute shader over tensors. */
export interface WgslProgram {
  /** Name for error messages and profiles, e.g. `muon/momentum`. */
  readonly name: string;
  /** Input tensors by the name that the shader gives their buffers: `x` is `x : array<f32>`. float32, int32 or bool. */
  readonly inputs: Readonly<Record<string, Tensor>>;
  /** Shape of the output; the shader writes it to `result`. */
  readonly outputShape: readonly number[];
  /** Default `'float32'` */
  readonly outputDtype?: 'float32' | 'int32' | 'bool';
  /**
   * WGSL that defines `main`. Without `dispatch`: `fn main(index : i32)`, called for each element of the output and for
   * some beyond, so that it must test `index < uniforms.size`. With `dispatch`: `fn main()`, which finds its place
   * through `workgroupId`, `localId`, `globalId`, `localIndex` and `numWorkgroups`.
   *
   * In scope: the inputs, `result`, `uniforms.xShape` of input `x`, `uniforms.outShape`, and the uniforms by name.
   */
  readonly code: string;
  /** Numbers the shader reads as `uniforms.<name>`; other values do not compile it anew. Default none */
  readonly uniforms?: Readonly<Record<string, WgslUniform>>;
  /** Threads of a workgroup. Default `[64, 1, 1]` */
  readonly workgroupSize?: readonly [number, number, number];
  /** Workgroups to start. Default: as many as the output has elements for */
  readonly dispatch?: readonly [number, number, number];
}

const FIELDS: readonly (keyof WgslProgram)[] = [
  'name',
  'inputs',
  'outputShape',
  'outputDtype',
  'code',
  'uniforms',
  'workgroupSize',
  'dispatch',
];

/** Names that tfjs gives to parts of the shader. */
const RESERVED = /^(result|uniforms|main|globalId|localId|localIndex|workgroupId|numWorkgroups)$/;

/**
 * Runs a compute shader on the active WebGPU backend. The program compiles at its first run for inputs of these ranks
 * and dtypes.
 *
 * @returns tensor of shape `outputShape`; the caller disposes it
 * @throws Error if WebGPU is not active; TypeError or RangeError for a bad program. A shader that does not compile shows
 *   at the next read, with the compiler's message
 * @example
 * const doubled = runWgsl({
 *   name: 'example/double',
 *   inputs: { x },
 *   outputShape: x.shape,
 *   code: 'fn main(index : i32) { if (index < uniforms.size) { result[index] = 2.0 * x[index]; } }',
 * });
 */
export function runWgsl(program: WgslProgram): Tensor {
  const caller = 'runWgsl';
  checkOptions(caller, program, FIELDS);
  if (getBackend() !== 'webgpu') {
    throw new Error(`${caller}: the active backend must be webgpu, got ${getBackend()}`);
  }
  const { name, inputs, outputDtype = 'float32', code, uniforms = {}, dispatch } = program;
  checkOneOf(caller, 'outputDtype', outputDtype, ['float32', 'int32', 'bool']);
  for (const [key, tensor] of Object.entries(inputs)) {
    if (!/^[a-z]\w*$/i.test(key) || RESERVED.test(key)) {
      throw new RangeError(`${caller}: inputs must have names that a shader can use, got '${key}'`);
    }
    checkTensor(caller, `inputs.${key}`, tensor, {
      dtype: ['float32', 'int32', 'bool'],
      allowEmpty: true,
    });
  }

  const outputShape = [...program.outputShape];
  const workgroupSize = [...(program.workgroupSize ?? [64, 1, 1])] as [number, number, number];
  const axes = outputShape.map((_, axis) => axis);
  const size = outputShape.reduce((product, n) => product * n, 1);
  const threads = workgroupSize[0] * workgroupSize[1] * workgroupSize[2];
  const declared = Object.entries(uniforms).map(([key, uniform]) => declare(key, uniform));
  const info = (backend() as WebGPUBackend).runWebGPUProgram(
    {
      // The whole code is part of the key under which tfjs keeps the compiled program: no two can be mistaken.
      shaderKey: `${name} ${declared.join('')} ${code}`,
      variableNames: Object.keys(inputs),
      outputShape,
      workgroupSize,
      dispatch: dispatch ? [...dispatch] : [Math.ceil(size / threads), 1, 1],
      // tfjs calls main(index) for a layout in x alone, and main() otherwise.
      dispatchLayout: dispatch ? { x: axes, y: [0] } : { x: axes },
      uniforms: declared.join(''),
      size: true,
      getUserCode: () => code,
    },
    Object.values(inputs),
    outputDtype as DataType,
    Object.values(uniforms).map(({ type, value }) => ({
      type: { f32: 'float32', i32: 'int32', u32: 'uint32' }[type],
      data: typeof value === 'number' ? [value] : [...value],
    })),
  );
  return engine().makeTensorFromTensorInfo(info);
}

function declare(name: string, { type, value }: WgslUniform): string {
  checkOneOf('runWgsl', `uniforms.${name}.type`, type, ['f32', 'i32', 'u32']);
  const length = typeof value === 'number' ? 1 : value.length;
  if (length < 1 || length > 4) {
    throw new RangeError(`runWgsl: uniforms.${name} must hold 1 to 4 numbers, got ${length}`);
  }
  return `${name} : ${length === 1 ? type : `vec${length}<${type}>`}, `;
}
