/** Sources of all kernels, in every form that this package generates: what a real compiler must take. */
import type { KernelSource } from '../src/driver/cudaDriver.js';
import { NORMALIZE_EXPRESSIONS } from '../src/fused/normalize.js';
import { type Activation, epilogueExpression } from '../src/kernels/activation.js';
import { batchNormExpression } from '../src/kernels/batchNorm.js';
import { BINARY, binaryExpression, SELECT } from '../src/kernels/binary.js';
import { COMPLEX_EXPRESSIONS } from '../src/kernels/complex.js';
import { SCALE } from '../src/kernels/fourier.js';
import {
  CAST,
  clipExpression,
  stepExpression,
  UNARY,
  unaryExpression,
} from '../src/kernels/unary.js';
import { copySource } from '../src/sources/copy.js';
import { type Access, type Expression, elementwiseSource } from '../src/sources/elementwise.js';
import { FOURIER_DIRECT, FOURIER_PASS } from '../src/sources/fourier.js';
import {
  FLATTEN_INDICES,
  gatherSource,
  oneHotSource,
  rangeSource,
  SEGMENT_LIST,
  SEGMENT_RANK,
  scatterLastSource,
  segmentSumSource,
} from '../src/sources/indexed.js';
import { formatSource, shiftSource } from '../src/sources/matrices.js';
import { type Reduction, reduceSource, SECOND_PASS } from '../src/sources/reduce.js';
import { argReduceSource, SOFTMAX, scanSource, topKSource } from '../src/sources/rows.js';
import { type Storage, storageOf } from '../src/sources/types.js';
import * as window from '../src/sources/window.js';

const DTYPES = ['float32', 'int32', 'bool'] as const;
const STORAGES: readonly Storage[] = ['float', 'int', 'unsigned char'];

/** One kernel of a formula; an access for each operand. */
function variant(
  expression: Expression,
  storages: readonly Storage[],
  output: Storage,
  access: readonly Access[] = storages.map(() => 'flat'),
): KernelSource {
  const inputs = storages.map((storage, i) => ({ storage, access: access[i]! }));
  const rank = access.includes('strided') ? 3 : 0;
  return elementwiseSource(expression, { inputs, output, rank });
}

function unary(): KernelSource[] {
  return DTYPES.flatMap((dtype) => {
    const storage = storageOf(dtype);
    return [
      ...Object.keys(UNARY).map((name) =>
        variant(unaryExpression(name, dtype), [storage], storageOf(UNARY[name]!.output ?? dtype)),
      ),
      variant(stepExpression('Step'), [storage], storage),
      variant(stepExpression('LeakyRelu'), [storage], storage),
      variant(clipExpression(dtype), [storage], storage),
      ...STORAGES.map((output) => variant(CAST, [storage], output)),
    ];
  });
}

function binary(): KernelSource[] {
  const forms: Access[][] = [
    ['flat', 'flat'],
    ['flat', 'scalar'],
    ['strided', 'strided'],
  ];
  return DTYPES.flatMap((dtype) => {
    const storage = storageOf(dtype);
    return [
      ...Object.keys(BINARY).flatMap((name) => {
        const output = storageOf(BINARY[name]!.output ?? dtype);
        const expression = binaryExpression(name, dtype);
        return forms.map((form) => variant(expression, [storage, storage], output, form));
      }),
      variant(SELECT, ['unsigned char', storage, storage], storage, ['strided', 'flat', 'flat']),
    ];
  });
}

function formulas(): KernelSource[] {
  const activations: Activation[] = ['relu', 'relu6', 'elu', 'sigmoid', 'prelu', 'leakyrelu'];
  const floats = (count: number) => new Array<Storage>(count).fill('float');
  const flags = [false, true];
  return [
    ...activations.flatMap((activation) =>
      flags.map((bias) => {
        const count = 1 + Number(bias) + Number(activation === 'prelu');
        return variant(epilogueExpression(activation, bias), floats(count), 'float');
      }),
    ),
    variant(epilogueExpression('linear', true), floats(2), 'float', ['flat', 'strided']),
    ...flags.flatMap((scale) =>
      flags.map((offset) =>
        variant(
          batchNormExpression(scale, offset),
          floats(3 + Number(scale) + Number(offset)),
          'float',
        ),
      ),
    ),
    variant(SCALE, floats(1), 'float'),
    ...[...COMPLEX_EXPRESSIONS, ...NORMALIZE_EXPRESSIONS].map(([expression, count]) =>
      variant(expression, floats(count), 'float'),
    ),
  ];
}

function reductions(): KernelSource[] {
  const names = Object.keys(SECOND_PASS) as Reduction[];
  return names.flatMap((reduction) =>
    (['rows', 'columns'] as const).flatMap((form) =>
      STORAGES.map((storage) => reduceSource(reduction, form, storage, storage)),
    ),
  );
}

const isSource = (value: unknown): value is KernelSource =>
  typeof value === 'object' && value !== null && 'code' in value && 'signature' in value;

/** All of them, each name once. */
export function allSources(): KernelSource[] {
  const sources: KernelSource[] = [
    ...unary(),
    ...binary(),
    ...formulas(),
    ...reductions(),
    ...[1, 2, 3, 4, 6].flatMap((rank) =>
      [...STORAGES, 'unsigned long long' as const].map((storage) => copySource(storage, rank)),
    ),
    reduceSource('sum', 'columns', 'unsigned char', 'int'),
    SOFTMAX,
    ...STORAGES.flatMap((storage) => [
      argReduceSource('max', storage),
      argReduceSource('min', storage),
      topKSource(storage),
      gatherSource(storage),
      scatterLastSource(storage),
      oneHotSource(storage),
      window.maxPoolSource(storage),
    ]),
    ...(['float', 'int'] as const).flatMap((storage) => [
      scanSource('sum', storage),
      scanSource('prod', storage),
      segmentSumSource(storage),
      rangeSource(storage),
    ]),
    ...[FLATTEN_INDICES, SEGMENT_RANK, SEGMENT_LIST, FOURIER_PASS, FOURIER_DIRECT],
    ...Object.values(window).filter(isSource),
    formatSource('float', 'unsigned short'),
    formatSource('unsigned short', 'float'),
    shiftSource('float'),
    shiftSource('unsigned short'),
  ];
  return [...new Map(sources.map((source) => [source.name, source])).values()];
}
