import type { TargetKind } from './target.js';

/** What a predicate sees of a target. */
export interface TargetInfo {
  /** `encoder.block0.query`. */
  readonly path: string;
  readonly kind: TargetKind;
  /** Shape of its weight, in tfjs's layout. */
  readonly shape: readonly number[];
}

/**
 * Which modules: a name or names, each of a whole path or its ending (`'query'` is every `….query`); a pattern for the
 * path; or a predicate.
 */
export type ModuleSelector =
  | string
  | readonly string[]
  | RegExp
  | ((target: TargetInfo) => boolean);

/** Whether `path` is `name` or ends with it after a dot. */
export const endsWithName = (path: string, name: string): boolean =>
  path === name || path.endsWith(`.${name}`);

/**
 * Demands a selector.
 * @throws TypeError otherwise
 */
export function checkSelector(caller: string, argument: string, value: unknown): void {
  const isName = (x: unknown) => typeof x === 'string' && x.length > 0;
  if (isName(value) || value instanceof RegExp || typeof value === 'function') return;
  if (Array.isArray(value) && value.length > 0 && value.every(isName)) return;
  throw new TypeError(
    `${caller}: ${argument} must be a name, names, a pattern or a predicate, got ${String(value)}`,
  );
}

/** A selector as a predicate. */
export function matcher(selector: ModuleSelector): (target: TargetInfo) => boolean {
  if (typeof selector === 'function') return selector;
  if (selector instanceof RegExp) {
    // A copy, since a global pattern keeps its place from one test to the next.
    const pattern = new RegExp(selector.source, selector.flags.replace(/[gy]/g, ''));
    return ({ path }) => pattern.test(path);
  }
  const names = typeof selector === 'string' ? [selector] : selector;
  return ({ path }) => names.some((name) => endsWithName(path, name));
}

/** The entry of a record of names whose name a path is or ends with; the longest, if several do. */
export function lookUp<T>(record: Readonly<Record<string, T>>, path: string): T | undefined {
  const names = Object.keys(record).filter((name) => endsWithName(path, name));
  if (names.length === 0) return undefined;
  return record[names.reduce((a, b) => (b.length > a.length ? b : a))];
}

/** A few names for a message. */
export function listNames(names: readonly string[]): string {
  if (names.length === 0) return 'none';
  return names.slice(0, 20).join(', ') + (names.length > 20 ? `, … (${names.length} in all)` : '');
}
