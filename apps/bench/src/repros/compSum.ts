import { adversarialDigitsClaims } from '../claims/adversarialDigits.js';
import { noisyDigitsClaims } from '../claims/noisyDigits.js';
import type { Repro } from '../harness/repro.js';

export const repro: Repro = {
  system: 'comp-sum',
  description:
    'comp-sum losses on digits with right and wrong labels; smooth adversarial training beside PGD training and TRADES',
  async *claims(context) {
    yield* noisyDigitsClaims(context);
    yield* adversarialDigitsClaims(context);
  },
};
