/**
 * State that must be one per process even when a program loads this package twice (an ES module and a CommonJS copy,
 * or two versions): kept on `globalThis` under a registered symbol.
 */
export function globalRegistry<T>(name: string, create: () => T): T {
  const key = Symbol.for(`@orth/${name}`);
  const holder = globalThis as unknown as Record<symbol, T | undefined>;
  holder[key] ??= create();
  return holder[key];
}
