import type { Foreign } from './foreign.js';

const TEXT_ENCODER = new TextEncoder();

/** A few words of memory outside V8's heap that C functions write their results to. */
export class Scratch {
  /** Address of the first byte. */
  readonly address: number;
  private readonly view: DataView;

  constructor(foreign: Foreign, bytes = 64) {
    const buffer = new ArrayBuffer(bytes);
    this.view = new DataView(buffer);
    this.address = foreign.addressOf(buffer);
  }

  /** The 32-bit integer at a byte offset. */
  int(offset = 0): number {
    return this.view.getInt32(offset, true);
  }

  /** The 64-bit integer at a byte offset: an address or a size. */
  size(offset = 0): number {
    return this.view.getUint32(offset, true) + this.view.getUint32(offset + 4, true) * 2 ** 32;
  }

  /** Writes a 64-bit integer. */
  setSize(offset: number, value: number): void {
    this.view.setUint32(offset, value >>> 0, true);
    this.view.setUint32(offset + 4, Math.floor(value / 2 ** 32), true);
  }

  /** Writes a 32-bit integer, of either sign. */
  setInt(offset: number, value: number): void {
    this.view.setInt32(offset, value, true);
  }

  /** Writes a float32. */
  setFloat(offset: number, value: number): void {
    this.view.setFloat32(offset, value, true);
  }
}

/** A `char *` array in memory outside V8's heap; keep the object as long as C may read it. */
export class StringArray {
  /** Address of the array of pointers. */
  readonly address: number;
  private readonly kept: ArrayBuffer[] = [];

  constructor(foreign: Foreign, texts: readonly string[]) {
    const table = new ArrayBuffer(8 * Math.max(1, texts.length));
    const view = new DataView(table);
    this.kept.push(table);
    texts.forEach((text, i) => {
      const bytes = TEXT_ENCODER.encode(`${text}\0`);
      const buffer = new ArrayBuffer(bytes.length);
      new Uint8Array(buffer).set(bytes);
      this.kept.push(buffer);
      view.setBigUint64(8 * i, BigInt(foreign.addressOf(buffer)), true);
    });
    this.address = foreign.addressOf(table);
  }
}
