import { checkInteger, checkNumber, checkOptions } from '@orth/backend';

/** Options of {@link warmupCosine}. */
export interface WarmupCosineOptions {
  /** Epochs in all. Default 100 */
  readonly epochs?: number;
  /** Greatest rate. Default 0.002 */
  readonly learningRate?: number;
  /** Epochs at `warmupLearningRate` before. Default 1 */
  readonly warmupEpochs?: number;
  /** Default 1e-5 */
  readonly warmupLearningRate?: number;
}

/**
 * The learning rate of CoOp and its descendants by epoch, counted from 0: some epochs at a constant small rate, then half a
 * cosine that begins at its greatest and, being as long as all epochs, does not quite reach 0.
 *
 * @throws TypeError or RangeError for a wrong option
 */
export function warmupCosine(options: WarmupCosineOptions = {}): (epoch: number) => number {
  const caller = 'warmupCosine';
  checkOptions(caller, options, ['epochs', 'learningRate', 'warmupEpochs', 'warmupLearningRate']);
  const { epochs = 100, learningRate = 0.002 } = options;
  const { warmupEpochs = 1, warmupLearningRate = 1e-5 } = options;
  checkInteger(caller, 'epochs', epochs, { min: 1 });
  checkNumber(caller, 'learningRate', learningRate, { min: 0 });
  checkInteger(caller, 'warmupEpochs', warmupEpochs, { min: 0 });
  checkNumber(caller, 'warmupLearningRate', warmupLearningRate, { min: 0 });
  return (epoch) =>
    epoch < warmupEpochs
      ? warmupLearningRate
      : (learningRate / 2) * (1 + Math.cos((Math.PI * (epoch - warmupEpochs)) / epochs));
}
