import {
  concat,
  reshape,
  slice,
  type Tensor,
  type Tensor3D,
  tensor1d,
  tidy,
  type Variable,
} from '@tensorflow/tfjs-core';
import { assemblePrompts } from './assemblePrompts.js';
import { checkNames, spaced } from './classNames.js';
import {
  type ClassSelection,
  kindOf,
  type PreparedClasses,
  type PromptSource,
} from './promptSource.js';
import { checkTokens, padRows, type TextEncoder, tokenizeAll } from './textEncoder.js';

/** Embeddings around the context. */
interface TokenClasses extends PreparedClasses {
  readonly prefix: Tensor;
  readonly suffix: Tensor;
  readonly eos: readonly number[];
}

/** Contexts as tokens among those of a class' name: CoOp's way. */
export class TokenPrompts implements PromptSource {
  readonly featureDim: number;
  readonly numPrompts: number;
  readonly classSpecific: boolean;
  private readonly contextTokens: number;

  constructor(
    readonly encoder: TextEncoder,
    /** `[N, n, d]`, or `[N, C, n, d]`. */
    readonly parameter: Variable,
  ) {
    this.featureDim = encoder.featureDim;
    this.numPrompts = parameter.shape[0]!;
    this.classSpecific = parameter.rank === 4;
    this.contextTokens = parameter.shape[parameter.rank - 2]!;
  }

  prepare(caller: string, selection: ClassSelection): TokenClasses {
    const tokens = tokensOf(caller, this.encoder, selection);
    checkClassTokens(caller, this.encoder, selection, tokens, this.contextTokens);
    const { prefix, suffix } = tidy(() => {
      const embedded = this.encoder.embed(padRows(tokens, this.encoder.padId));
      const [classes, length, d] = embedded.shape;
      return {
        prefix: slice(embedded, 0, [classes, 1, d]),
        suffix: slice(embedded, [0, 1, 0], [classes, length - 1, d]),
      };
    });
    return {
      size: tokens.length,
      prefix,
      suffix,
      eos: tokens.map((row) => row.length - 1 + this.contextTokens),
      dispose: () => {
        prefix.dispose();
        suffix.dispose();
      },
    };
  }

  features(classes: PreparedClasses): Tensor3D {
    const { size, prefix, suffix, eos } = classes as TokenClasses;
    return tidy(() => {
      const prompts = assemblePrompts(this.parameter, prefix, suffix);
      const [n, , length, d] = prompts.shape;
      const one = tensor1d([...eos], 'int32');
      const ends = concat(Array.from({ length: n }, () => one));
      const features = this.encoder.encode(reshape(prompts, [n * size, length, d]), ends);
      return reshape(features, [n, size, this.featureDim]);
    });
  }
}

/** Tokens of `name.` for each class. */
export function tokensOf(
  caller: string,
  encoder: TextEncoder,
  selection: ClassSelection,
): readonly (readonly number[])[] {
  if (kindOf(caller, selection, ['classNames', 'tokens']) === 'tokens') return selection.tokens!;
  const names = selection.classNames!;
  checkNames(caller, names);
  return tokenizeAll(
    caller,
    encoder,
    names.map((name) => `${spaced(name)}.`),
  );
}

/** @throws TypeError or RangeError if a prompt with its context is no prompt of the encoder */
export function checkClassTokens(
  caller: string,
  encoder: TextEncoder,
  { classNames }: ClassSelection,
  tokens: readonly (readonly number[])[],
  contextTokens: number,
): void {
  const nameOf = classNames ? (i: number) => JSON.stringify(classNames[i]) : undefined;
  checkTokens(caller, encoder, tokens, contextTokens, nameOf);
}
