/** Kernels that compute each element of the result from one element of each operand, which may be broadcast. */
import type { KernelSource } from '../driver/cudaDriver.js';
import { computeType, convert, eachElement, letterOf, PRELUDE, type Storage } from './types.js';

/** How an operand is read: as a parameter of the kernel, element by element, or by strides (0 where it is broadcast). */
export type Access = 'scalar' | 'flat' | 'strided';

/** Names of operands, in an {@link Expression}. */
export const OPERANDS = ['x', 'y', 'z', 'w', 'v', 'u'] as const;

/** A formula in C++ over the operands `x, y, z, …` and the numbers `s0, s1, …`. */
export interface Expression {
  /** Distinguishes it from other formulas; part of the kernel's name. */
  readonly name: string;
  /** The result's value, an expression; or statements that end in `result = …;` when it has a semicolon. */
  readonly code: string;
  /** Whether the result is computed as a float or an integer. Default: float if any operand is */
  readonly type?: 'float' | 'int';
  /** How many numbers `s0, s1, …` it takes, all of them floats. Default 0 */
  readonly scalars?: number;
  /** Functions it uses. */
  readonly helpers?: string;
}

/** What a kernel is compiled for. */
export interface ElementwiseVariant {
  readonly inputs: readonly { readonly storage: Storage; readonly access: Access }[];
  readonly output: Storage;
  /** Axes of the index arithmetic; 0 when no operand is strided. */
  readonly rank: number;
}

/** Name of a variant. */
export function elementwiseName(
  { name }: Expression,
  { inputs, output, rank }: ElementwiseVariant,
): string {
  const letters = { scalar: 's', flat: '', strided: 'b' };
  const operands = inputs.map(({ storage, access }) => letterOf(storage) + letters[access]);
  return [name, ...operands, letterOf(output), ...(rank > 0 ? [`r${rank}`] : [])].join('_');
}

/**
 * Parameters: element count, result, each operand (a pointer, or the number itself), the numbers, and for a rank the
 * sizes of all axes but the first and then each strided operand's strides, first axis first.
 */
export function elementwiseSource(
  expression: Expression,
  variant: ElementwiseVariant,
): KernelSource {
  const { inputs, output, rank } = variant;
  const { code, scalars = 0, helpers = '' } = expression;
  const name = elementwiseName(expression, variant);
  const signature: string[] = ['i', 'p'];
  const parameters = ['unsigned count', `${output}* out`];
  inputs.forEach(({ storage, access }, k) => {
    const type = computeType(storage);
    if (access === 'scalar') {
      signature.push(type === 'float' ? 'f' : 'i');
      parameters.push(`${type} ${OPERANDS[k]}`);
    } else {
      signature.push('p');
      parameters.push(`const ${storage}* p${k}`);
    }
  });
  for (let k = 0; k < scalars; k++) {
    signature.push('f');
    parameters.push(`float s${k}`);
  }
  for (let axis = 1; axis < rank; axis++) {
    signature.push('i');
    parameters.push(`unsigned size${axis}`);
  }
  const strided = inputs.flatMap(({ access }, k) => (access === 'strided' ? [k] : []));
  for (const k of strided) {
    for (let axis = 0; axis < rank; axis++) {
      signature.push('i');
      parameters.push(`unsigned stride${k}_${axis}`);
    }
  }

  const lines: string[] = [];
  if (strided.length > 0) {
    lines.push('unsigned rest = i;', ...strided.map((k) => `unsigned at${k} = 0;`));
    for (let axis = rank - 1; axis > 0; axis--) {
      lines.push(`{ const unsigned c = rest % size${axis}; rest /= size${axis};`);
      lines.push(...strided.map((k) => `at${k} += c * stride${k}_${axis};`), '}');
    }
    lines.push(...strided.map((k) => `at${k} += rest * stride${k}_0;`));
  }
  inputs.forEach(({ storage, access }, k) => {
    if (access === 'scalar') return;
    const at = access === 'flat' ? 'i' : `at${k}`;
    lines.push(`const ${computeType(storage)} ${OPERANDS[k]} = p${k}[${at}];`);
  });
  const floating = inputs.some(({ storage }) => storage === 'float');
  const type = expression.type ?? (floating ? 'float' : 'int');
  lines.push(`${type} result;`, code.includes(';') ? code : `result = ${code};`);
  lines.push(`out[i] = ${convert('result', type, output)};`);
  return {
    name,
    signature: signature.join(''),
    code: `${PRELUDE}${helpers}
extern "C" __global__ void ${name}(${parameters.join(', ')}) {${eachElement(lines.map((line) => `    ${line}`).join('\n'))}
}
`,
  };
}
