/** @throws TypeError unless `names` are one or more texts */
export function checkNames(caller: string, names: unknown): asserts names is readonly string[] {
  const valid =
    Array.isArray(names) &&
    names.length > 0 &&
    names.every((name) => typeof name === 'string' && name.trim().length > 0);
  if (valid) return;
  throw new TypeError(
    `${caller}: classNames must be texts, at least one, got ${JSON.stringify(names)}`,
  );
}

/** Data sets write `golden_retriever`. */
export const spaced = (name: string): string => name.replaceAll('_', ' ').trim();

/** CLIP's text for a class of which nothing is known but the name. */
export const photoOf = (name: string): string => `a photo of a ${spaced(name)}.`;
