/** What MSGCoOp descends from, as settings of it. */
import { MSGCoOp } from './msgcoop.js';
import type { FeaturePromptOptions, TokenPromptOptions } from './msgcoopOptions.js';
import { templateTargets } from './targets.js';
import { checkEncoder } from './textEncoder.js';

/** Options of {@link coop}: MSGCoOp's without what it fixes. */
export type CoOpOptions =
  | Omit<
      TokenPromptOptions,
      'numPrompts' | 'diversityWeight' | 'semanticWeight' | 'target' | 'descriptions'
    >
  | Omit<FeaturePromptOptions, 'numPrompts' | 'diversityWeight' | 'semanticWeight' | 'target'>;

/** Options of {@link kgCoOp}. */
export type KgCoOpOptions =
  | (Omit<TokenPromptOptions, 'numPrompts' | 'diversityWeight' | 'descriptions'> & {
      /** The text of a class whose feature is the target. Default `a photo of a {name}.` */
      readonly template?: (name: string) => string;
    })
  | Omit<FeaturePromptOptions, 'numPrompts' | 'diversityWeight'>;

/**
 * CoOp: one prompt, cross-entropy alone.
 * @throws as {@link MSGCoOp}
 * @see Zhou et al. 2022, "Learning to Prompt for Vision-Language Models"
 */
export function coop(options: CoOpOptions): MSGCoOp {
  const single = { ...options, numPrompts: 1, semanticWeight: 0, diversityWeight: 0 };
  return new MSGCoOp(single as TokenPromptOptions);
}

/**
 * KgCoOp: one prompt, pulled towards the feature of a text written by hand, in feature-space mode towards the given
 * features.
 * @throws as {@link MSGCoOp}; TypeError if there are neither `classNames` nor a `target`
 * @see Yao, Zhang, Xu 2023, "Visual-Language Prompt Tuning with Knowledge-guided Context Optimization"
 */
export function kgCoOp(options: KgCoOpOptions): MSGCoOp {
  const single = { numPrompts: 1, diversityWeight: 0 };
  if ('classFeatures' in options) {
    return new MSGCoOp({ target: options.classFeatures, ...options, ...single });
  }
  const { template, ...rest } = options;
  if (rest.target) return new MSGCoOp({ ...rest, ...single });
  checkEncoder('kgCoOp', rest.encoder);
  const target = templateTargets('kgCoOp', rest.encoder, rest.classNames ?? [], template);
  try {
    return new MSGCoOp({ ...rest, ...single, target });
  } finally {
    target.dispose();
  }
}
