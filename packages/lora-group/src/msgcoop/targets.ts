/** What prompts are pulled towards: features of descriptions, or of one text for each class. */
import { checkTensor } from '@orth/backend';
import { matMul, type Tensor2D, tensor2d, tidy } from '@tensorflow/tfjs-core';
import { checkNames, photoOf, spaced } from './classNames.js';
import { encodeTokens } from './encodeTokens.js';
import { checkTokens, type TextEncoder, tokenizeAll } from './textEncoder.js';
import { unitRows } from './unitRows.js';

/** Descriptions of classes, as texts to encode. */
export interface DescriptionTexts {
  /** All texts, those of a class together. */
  readonly texts: readonly string[];
  /** How many each class has. */
  readonly counts: readonly number[];
}

/**
 * `a photo of {name}, {description}` for every description.
 * @throws TypeError or RangeError unless each class has one or more, naming the class that has none
 */
export function descriptionTexts(
  caller: string,
  names: readonly string[],
  descriptions: readonly (readonly string[])[],
): DescriptionTexts {
  checkNames(caller, names);
  if (!Array.isArray(descriptions as unknown) || descriptions.length !== names.length) {
    throw new RangeError(
      `${caller}: descriptions must be a list for each of ${names.length} classes, got ${descriptions?.length}`,
    );
  }
  names.forEach((name, c) => {
    const list: unknown = descriptions[c];
    const valid =
      Array.isArray(list) &&
      list.length > 0 &&
      list.every((text) => typeof text === 'string' && text.trim().length > 0);
    if (!valid) {
      throw new RangeError(
        `${caller}: descriptions must hold one or more texts for ${JSON.stringify(name)}, got ${JSON.stringify(list)}`,
      );
    }
  });
  return {
    texts: names.flatMap((name, c) =>
      descriptions[c]!.map((text) => `a photo of ${spaced(name)}, ${text.trim()}`),
    ),
    counts: descriptions.map((list) => list.length),
  };
}

/** Over the texts of a class the mean of unit features, itself made a unit, shape `[C, D]`. */
export function averageByClass(features: Tensor2D, counts: readonly number[]): Tensor2D {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const shares = new Float32Array(counts.length * total);
  let at = 0;
  counts.forEach((count, c) => {
    shares.fill(1 / count, c * total + at, c * total + at + count);
    at += count;
  });
  return tidy(() => unitRows(matMul(tensor2d(shares, [counts.length, total]), unitRows(features))));
}

/** Features of texts by the encoder's own tokens, shape `[texts, D]`. */
export function encodeTexts(
  caller: string,
  encoder: TextEncoder,
  texts: readonly string[],
): Tensor2D {
  const tokens = tokenizeAll(caller, encoder, texts);
  checkTokens(caller, encoder, tokens, 0, (index) => JSON.stringify(texts[index]));
  return encodeTokens(encoder, tokens);
}

/**
 * Targets out of descriptions, by any encoder of texts: what `MSGCoOp`'s `target` takes, for instance by
 * `clip.textFeatures`.
 *
 * @param encode - features of texts, shape `[texts, D]`; they are freed here
 * @param names - of C classes
 * @param descriptions - one or more for each class
 * @returns unit rows, shape `[C, D]`; the caller frees them
 * @throws (rejects with) TypeError or RangeError if a class has no description, or `encode` gives another shape
 * @example
 * const target = await descriptionTargets((texts) => clip.textFeatures(texts), names, descriptions);
 */
export async function descriptionTargets(
  encode: (texts: readonly string[]) => Tensor2D | Promise<Tensor2D>,
  names: readonly string[],
  descriptions: readonly (readonly string[])[],
): Promise<Tensor2D> {
  const caller = 'descriptionTargets';
  const { texts, counts } = descriptionTexts(caller, names, descriptions);
  const features = await encode(texts);
  checkTensor(caller, 'features', features, { shape: [texts.length, null] });
  const target = averageByClass(features, counts);
  features.dispose();
  return target;
}

/** Features of `a photo of a {name}.`, or another text of a name: the targets of KgCoOp, shape `[C, D]`. */
export function templateTargets(
  caller: string,
  encoder: TextEncoder,
  names: readonly string[],
  template: (name: string) => string = photoOf,
): Tensor2D {
  checkNames(caller, names);
  return tidy(() =>
    unitRows(
      encodeTexts(
        caller,
        encoder,
        names.map((name) => template(name)),
      ),
    ),
  );
}
