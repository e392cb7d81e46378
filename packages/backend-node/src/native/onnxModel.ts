/**
 * Writes ONNX models: a model is a protobuf message, and ours are small graphs without weights, so a few field writers
 * do. Field numbers are those of onnx.proto; shapes are left open everywhere, so that one model serves every size.
 */

/** Bytes of a message, as a nested list; flattened once at the end. */
type Bytes = readonly (number | Bytes)[];

/** An attribute of a node. */
export type Attribute = number | string | readonly number[] | { readonly float: number };

/** A node of a graph; `domain` is empty for ONNX's own operators. */
export interface OnnxNode {
  readonly operator: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes?: Readonly<Record<string, Attribute>>;
  readonly domain?: 'com.microsoft';
}

/** Types of tensors, by their number in ONNX. */
export const ELEMENT = { float32: 1, int32: 6, int64: 7 } as const;

/** A tensor's element type. */
export type ElementType = keyof typeof ELEMENT;

/** An input or output; a plain string is a float32 tensor. */
export type OnnxValue = string | { readonly name: string; readonly type: ElementType };

/** A constant inside the graph; without `dims` a scalar. */
export interface OnnxConstant {
  readonly name: string;
  readonly type: ElementType;
  readonly dims?: readonly number[];
  readonly data: readonly number[];
}

/** A graph to be run. */
export interface OnnxGraph {
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  readonly nodes: readonly OnnxNode[];
  readonly constants?: readonly OnnxConstant[];
}

/** Wire types of protobuf. */
const VARINT = 0;
const BYTES = 2;
const FIXED32 = 5;

/** AttributeProto.type. */
const ATTRIBUTE = { float: 1, int: 2, string: 3, ints: 7 };

/** Versions that ONNX Runtime 1.14 and all later ones read. */
const IR_VERSION = 8;
const OPERATOR_SET = 17;

/** Little-endian groups of seven bits; negative numbers as 64-bit two's complement. */
function varint(value: number): Bytes {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  while (rest > 127n) {
    bytes.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return bytes;
}

const key = (field: number, wire: number) => varint(field * 8 + wire);
const integer = (field: number, value: number): Bytes => [key(field, VARINT), varint(value)];
const rawBytes = (buffer: ArrayBuffer): Bytes => [...new Uint8Array(buffer)];
const float = (field: number, value: number): Bytes => [
  key(field, FIXED32),
  rawBytes(Float32Array.of(value).buffer),
];

function message(field: number, ...parts: Bytes[]): Bytes {
  const flat = (parts as unknown[]).flat(Number.POSITIVE_INFINITY) as number[];
  return [key(field, BYTES), varint(flat.length), flat];
}

const text = (field: number, value: string): Bytes =>
  message(field, [...new TextEncoder().encode(value)]);

function attribute(name: string, value: Attribute): Bytes {
  if (typeof value === 'number') {
    return message(5, text(1, name), integer(3, value), integer(20, ATTRIBUTE.int));
  }
  if (typeof value === 'string') {
    return message(5, text(1, name), text(4, value), integer(20, ATTRIBUTE.string));
  }
  if ('float' in value) {
    return message(5, text(1, name), float(2, value.float), integer(20, ATTRIBUTE.float));
  }
  const items = value.map((item) => integer(8, item));
  return message(5, text(1, name), items, integer(20, ATTRIBUTE.ints));
}

function node({ operator, inputs, outputs, attributes = {}, domain = '' as never }: OnnxNode) {
  return message(
    1,
    inputs.map((name) => text(1, name)),
    outputs.map((name) => text(2, name)),
    text(4, operator),
    Object.entries(attributes).map(([name, value]) => attribute(name, value)),
    text(7, domain),
  );
}

function constant({ name, type, dims = [], data }: OnnxConstant): Bytes {
  const raw = {
    float32: () => Float32Array.from(data),
    int32: () => Int32Array.from(data),
    int64: () => BigInt64Array.from(data.map(BigInt)),
  }[type]();
  return message(
    5,
    dims.map((n) => integer(1, n)),
    integer(2, ELEMENT[type]),
    text(8, name),
    message(9, rawBytes(raw.buffer as ArrayBuffer)),
  );
}

/** ValueInfoProto with a type and no shape: any rank and size. */
function value(field: number, described: OnnxValue): Bytes {
  const { name, type } =
    typeof described === 'string' ? { name: described, type: 'float32' as const } : described;
  return message(field, text(1, name), message(2, message(1, integer(1, ELEMENT[type]))));
}

const operatorSet = (domain: string, version: number) =>
  message(8, text(1, domain), integer(2, version));

/** A graph as the bytes of an ONNX file. */
export function encodeModel({ inputs, outputs, nodes, constants = [] }: OnnxGraph): Uint8Array {
  const model: Bytes = [
    integer(1, IR_VERSION),
    text(2, 'orth'),
    message(
      7,
      nodes.map(node),
      text(2, 'graph'),
      constants.map(constant),
      inputs.map((input) => value(11, input)),
      outputs.map((output) => value(12, output)),
    ),
    operatorSet('', OPERATOR_SET),
    operatorSet('com.microsoft', 1),
  ];
  return Uint8Array.from((model as unknown[]).flat(Number.POSITIVE_INFINITY) as number[]);
}
