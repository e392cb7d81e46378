/**
 * Calls into shared libraries, as far as this package needs them: addresses are plain numbers (user space ends far below
 * 2^53), so that a call allocates nothing.
 */

/** A C type of an argument or result: an address, a 32-bit integer, a float, a string that is copied, or nothing. */
export type CType = 'address' | 'int' | 'float' | 'string' | 'void';

type CValue = number | string;

/** A C function. */
export type ForeignFunction<Result = number> = (...args: CValue[]) => Result;

/** A loaded shared library; it stays loaded for the life of the process. */
export interface ForeignLibrary {
  /** @throws Error if the library has no such symbol */
  function<Result = number>(
    name: string,
    result: CType,
    parameters: readonly CType[],
  ): ForeignFunction<Result>;
  /** The same, but undefined where the symbol is missing. */
  optional<Result = number>(
    name: string,
    result: CType,
    parameters: readonly CType[],
  ): ForeignFunction<Result> | undefined;
}

/** The foreign function interface. */
export interface Foreign {
  /** @throws Error if there is no such library, or it is for another machine */
  load(path: string): ForeignLibrary;
  /** A function from its address. */
  functionAt<Result = number>(
    address: number,
    result: CType,
    parameters: readonly CType[],
  ): ForeignFunction<Result>;
  /** The address that is stored at `address`. */
  addressAt(address: number): number;
  /**
   * Where a buffer's first byte lies. Valid as long as the buffer is referenced and not detached. Never pass a small
   * typed array's own storage: V8 keeps up to 64 bytes inside the movable heap. `new ArrayBuffer` is safe at any size.
   */
  addressOf(buffer: ArrayBufferLike): number;
}

const KOFFI_TYPES: Record<CType, string> = {
  address: 'uintptr_t',
  int: 'int',
  float: 'float',
  string: 'str',
  void: 'void',
};

/**
 * The interface through koffi.
 * @throws Error that says how to get it
 */
export async function openForeign(): Promise<Foreign> {
  const { default: koffi } = await import('koffi').catch((error: Error) => {
    const cause = error.message.split('\n')[0];
    throw new Error(`koffi could not be loaded (${cause}); npm install koffi`);
  });
  const types = (list: readonly CType[]) => list.map((type) => KOFFI_TYPES[type]);

  // koffi unloads a library with its last JavaScript reference, and a worker's references end with the worker. But a
  // library with threads of its own must never leave: one more reference, taken from the system and never returned.
  const pin = (path: string) => {
    try {
      if (process.platform === 'win32') {
        koffi.load('kernel32.dll').func('LoadLibraryW', 'uintptr_t', ['str16'])(path);
      } else {
        const RTLD_NOW = 2;
        koffi.load(null).func('dlopen', 'uintptr_t', ['str', 'int'])(path, RTLD_NOW);
      }
    } catch {
      // A C library without a dlopen symbol: the reference below keeps it loaded on the main thread at least.
    }
  };
  const loaded: unknown[] = [];

  return {
    load(path) {
      const library = koffi.load(path);
      loaded.push(library);
      pin(path);
      const find = (name: string, result: CType, parameters: readonly CType[]) =>
        library.func(
          name,
          KOFFI_TYPES[result],
          types(parameters),
        ) as unknown as ForeignFunction<never>;
      return {
        function: find,
        optional(name, result, parameters) {
          try {
            return find(name, result, parameters);
          } catch {
            return undefined;
          }
        },
      };
    },
    functionAt: (address, result, parameters) =>
      koffi.decode(
        BigInt(address),
        koffi.proto(KOFFI_TYPES[result], types(parameters)),
      ) as ForeignFunction<never>,
    addressAt: (address) => Number(koffi.decode(BigInt(address), 'uintptr_t')),
    addressOf: (buffer) => Number(koffi.address(buffer)),
  };
}
