/** What a caller describes contexts and actions with. */

/** Features by name. `true` counts 1 and `false` 0; a word is a feature of its own, `color: 'red'` being `color=red`. */
export interface NamedFeatures {
  readonly [name: string]: number | string | boolean;
}

/** Features by place (arrays and typed arrays of numbers) or by name. */
export type Features = ArrayLike<number> | NamedFeatures;

/** An action with features and, if it has one, a name for the log. */
export interface FeaturedAction {
  /** Written to logs. */
  readonly id?: string | number;
  /** Features by place or by name. */
  readonly features: Features;
}

/**
 * An action as `choose` takes it: an object with `features`, features alone, or a label. A label is all that policies
 * with `actionCount` need; hashed features take it as the feature `action=<label>`.
 */
export type ActionInput = FeaturedAction | Features | string | number;

/** Features as logs hold them. */
export type PlainFeatures = readonly number[] | NamedFeatures;

/** An action as logs hold it. */
export type PlainAction =
  | PlainFeatures
  | string
  | number
  | { readonly id?: string | number; readonly features: PlainFeatures };

const isArray = (x: unknown): x is ArrayLike<number> =>
  Array.isArray(x) || (ArrayBuffer.isView(x) && !(x instanceof DataView));

const isObject = (x: unknown): x is object => typeof x === 'object' && x !== null && !isArray(x);

/** Whether an action is an object that holds its features. */
export const isFeatured = (action: unknown): action is FeaturedAction =>
  isObject(action) &&
  'features' in action &&
  typeof action.features === 'object' &&
  action.features !== null;

/** Whether features are by place. */
export const isVector = (features: Features): features is ArrayLike<number> => isArray(features);

function fail(caller: string, argument: string, rule: string, got: string): never {
  throw new TypeError(`${caller}: ${argument} must ${rule}, got ${got}`);
}

/**
 * Demands features that are all finite.
 * @throws TypeError or RangeError that names the feature
 */
export function checkFeatures(
  caller: string,
  argument: string,
  features: unknown,
): asserts features is Features {
  if (isArray(features)) {
    for (let i = 0; i < features.length; i++) {
      if (Number.isFinite(features[i])) continue;
      throw new RangeError(
        `${caller}: ${argument} must be finite, got ${String(features[i])} at index ${i}`,
      );
    }
    return;
  }
  if (!isObject(features)) {
    fail(caller, argument, 'be an array of numbers or an object of features', String(features));
  }
  for (const [name, value] of Object.entries(features)) {
    if (Number.isFinite(value) || typeof value === 'string' || typeof value === 'boolean') continue;
    const got = typeof value === 'number' ? String(value) : typeof value;
    fail(caller, `${argument}.${name}`, 'be a finite number, a word or a boolean', got);
  }
}

/** The features of an action; undefined for a bare label. */
export function featuresOf(action: ActionInput): Features | undefined {
  if (typeof action === 'string' || typeof action === 'number') return undefined;
  return isFeatured(action) ? action.features : action;
}

/** Features as a log holds them; −0 becomes 0, as in what is learnt. */
export const plainFeatures = (features: Features): PlainFeatures =>
  isVector(features) ? Array.from(features, (x) => x + 0) : { ...features };

/** An action as a log holds it: what else an action's object has is the caller's own. */
export function plainAction(action: ActionInput): PlainAction {
  if (typeof action === 'string' || typeof action === 'number') return action;
  if (!isFeatured(action)) return plainFeatures(action);
  const features = plainFeatures(action.features);
  return action.id === undefined ? { features } : { id: action.id, features };
}
