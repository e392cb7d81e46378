/** Options as the plain JSON of `getConfig`, and back. */
import { type Schedule, scheduleFromJSON, scheduleToJSON } from './schedules.js';

/**
 * tf.layers turns `snake_case` strings into camelCase when it loads a model, which would change a pattern: an escape
 * means the same and has no underscore.
 */
const hideUnderscores = (source: string) =>
  source.replaceAll(/\\[\s\S]|_/g, (token) => (/^\\?_$/.test(token) ? '\\u005f' : token));

/**
 * Options as plain JSON.
 * @throws TypeError for a function that is not a schedule of this package
 */
export function optionsToJSON(value: unknown, path = 'options'): unknown {
  if (typeof value === 'function') {
    if ('definition' in value) return scheduleToJSON(path, value as unknown as Schedule);
    throw new TypeError(
      `getConfig: ${path} must be no function of your own to be saved; use a number, a RegExp, or a schedule of @orth/muon`,
    );
  }
  if (value instanceof RegExp) {
    return { regExp: hideUnderscores(value.source), flags: value.flags };
  }
  if (Array.isArray(value)) return value.map((item, i) => optionsToJSON(item, `${path}[${i}]`));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, item]) => item !== undefined)
      .map(([key, item]) => [key, optionsToJSON(item, `${path}.${key}`)]),
  );
}

/** Inverse of {@link optionsToJSON}. */
export function optionsFromJSON(json: unknown): unknown {
  if (Array.isArray(json)) return json.map(optionsFromJSON);
  if (typeof json !== 'object' || json === null || json instanceof RegExp) return json;
  const record = json as Record<string, unknown>;
  if (typeof record.regExp === 'string') {
    return new RegExp(record.regExp, record.flags as string | undefined);
  }
  if (typeof record.schedule === 'string') return scheduleFromJSON(json);
  return Object.fromEntries(
    Object.entries(record).map(([key, item]) => [key, optionsFromJSON(item)]),
  );
}
