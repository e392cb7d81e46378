/**
 * Calls into shared libraries, as far as this package needs them: addresses are plain numbers (user space ends far below
 * 2^53), so that a call allocates nothing.
 */

/** A C type of an argument or result; `size` is `size_t`, `string` a string that is copied. */
export type CType = 'address' | 'int' | 'unsigned' | 'size' | 'long' | 'string' | 'void';

/** A C function. */
export type ForeignFunction<Result = number> = (...args: (number | string)[]) => Result;

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
  /**
   * Where a buffer's first byte lies. Valid as long as the buffer is referenced and not detached. A typed array's own
   * `buffer` is safe too, since asking for it moves small arrays out of V8's heap.
   */
  addressOf(buffer: ArrayBufferLike): number;
  /** The text that the `char *` stored at `address` points to. */
  stringAt(address: number): string;
}

const KOFFI_TYPES: Record<CType, string> = {
  address: 'uintptr_t',
  int: 'int',
  unsigned: 'unsigned int',
  size: 'size_t',
  long: 'int64_t',
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
  const loaded: unknown[] = [];

  // koffi unloads a library with its last JavaScript reference, and a worker's references end with the worker. But a
  // driver with threads of its own must never leave: one more reference, taken from the system and never returned.
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

  return {
    load(path) {
      const library = koffi.load(path);
      loaded.push(library);
      pin(path);
      const find = (name: string, result: CType, parameters: readonly CType[]) =>
        library.func(
          name,
          KOFFI_TYPES[result],
          parameters.map((type) => KOFFI_TYPES[type]),
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
    addressOf: (buffer) => Number(koffi.address(buffer)),
    stringAt: (address) => String(koffi.decode(BigInt(address), 'str')),
  };
}
