/**
 * A foreign function interface without any library behind it: every call is recorded, and answered by a function of the
 * test. Addresses are numbers that lead back to the buffers they were asked for, so that a test reads what C would.
 */
import type { CType, Foreign, ForeignFunction, ForeignLibrary } from '../src/driver/foreign.js';

/** One call, with its values as they were passed. */
export interface Call {
  readonly name: string;
  readonly values: readonly (number | string)[];
}

/** How a function of a library answers. */
export type Answer = (memory: FakeMemory, ...values: (number | string)[]) => number | string;

/** What addresses lead to. */
export class FakeMemory {
  private readonly buffers: { address: number; buffer: ArrayBufferLike }[] = [];
  // Above 2^32, as real addresses are, so that halves that are lost are missed.
  private next = 0x5000_0000_0000;

  addressOf(buffer: ArrayBufferLike): number {
    const known = this.buffers.find((entry) => entry.buffer === buffer);
    if (known) return known.address;
    const address = this.next;
    this.buffers.push({ address, buffer });
    this.next += Math.ceil((buffer.byteLength + 1) / 4096) * 4096;
    return address;
  }

  /** A view from an address to the end of its buffer. */
  at(address: number): DataView {
    const found = this.buffers.find(
      (entry) => address >= entry.address && address <= entry.address + entry.buffer.byteLength,
    );
    if (!found) throw new Error(`no buffer is at ${address}`);
    return new DataView(found.buffer, address - found.address);
  }

  pointer(address: number): number {
    return Number(this.at(address).getBigUint64(0, true));
  }

  setPointer(address: number, value: number): void {
    this.at(address).setBigUint64(0, BigInt(value), true);
  }

  setInt(address: number, value: number): void {
    this.at(address).setInt32(0, value, true);
  }

  text(address: number): string {
    const view = this.at(address);
    const bytes = new Uint8Array(view.buffer, view.byteOffset);
    return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
  }

  /** Address of a C string. */
  keep(text: string): number {
    return this.addressOf(new TextEncoder().encode(`${text}\0`).buffer);
  }
}

/** The interface and what was called through it. */
export interface FakeForeign extends Foreign {
  readonly memory: FakeMemory;
  readonly calls: Call[];
  readonly loaded: string[];
  /** Types under which functions were looked up: result, then parameters. */
  readonly types: Map<string, readonly CType[]>;
}

/**
 * @param answers - by function; a function without one does not exist, and a library without any is not found
 * @param exists - whether a library can be loaded. Default: any
 */
export function fakeForeign(
  answers: Readonly<Record<string, Answer>>,
  exists: (path: string) => boolean = () => true,
): FakeForeign {
  const memory = new FakeMemory();
  const calls: Call[] = [];
  const loaded: string[] = [];
  const types = new Map<string, readonly CType[]>();
  const library: ForeignLibrary = {
    function(name, result, parameters) {
      const answer = answers[name];
      if (!answer) throw new Error(`Cannot find function '${name}' in shared library`);
      types.set(name, [result, ...parameters]);
      return ((...values) => {
        if (values.length !== parameters.length) {
          throw new Error(`${name} takes ${parameters.length} parameters, got ${values.length}`);
        }
        calls.push({ name, values });
        return answer(memory, ...values);
      }) as ForeignFunction<never>;
    },
    optional(name, result, parameters) {
      return answers[name] ? this.function(name, result, parameters) : undefined;
    },
  };
  return {
    memory,
    calls,
    loaded,
    types,
    load(path) {
      if (!exists(path)) throw new Error(`${path}: cannot open shared object file\nsecond line`);
      loaded.push(path);
      return library;
    },
    addressOf: (buffer) => memory.addressOf(buffer),
    stringAt: (address) => memory.text(memory.pointer(address)),
  };
}
