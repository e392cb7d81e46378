import { checkNumber, checkOptions, checkTensor } from '@orth/backend';
import {
  div,
  logSoftmax,
  mean,
  mul,
  neg,
  type Scalar,
  softmax,
  sub,
  sum,
  type Tensor,
  tidy,
} from '@tensorflow/tfjs-core';

/** Options of {@link distillationLoss}. */
export interface DistillationLossOptions {
  /** Temperature T > 0 of both softmaxes; the loss is multiplied by T². Default 1 */
  readonly temperature?: number;
  /** Subtract the teacher's entropy: KL(teacher ‖ student), whose gradient is the same. Default false */
  readonly divergence?: boolean;
}

/**
 * Cross-entropy of a student to a teacher's softmax, mean over all predictions, in nats:
 * −T² Σ softmax(t/T) · log softmax(s/T).
 *
 * @param student - logits, `[…, V]`, float32; differentiable
 * @param teacher - logits of the same shape; no gradient flows to it
 * @throws TypeError or RangeError if the shapes differ (another vocabulary), or for a wrong option
 * @see Hinton, Vinyals, Dean 2015, "Distilling the Knowledge in a Neural Network"
 */
export function distillationLoss(
  student: Tensor,
  teacher: Tensor,
  options: DistillationLossOptions = {},
): Scalar {
  const caller = 'distillationLoss';
  checkOptions(caller, options, ['temperature', 'divergence']);
  const { temperature = 1, divergence = false } = options;
  checkNumber(caller, 'temperature', temperature, { above: 0 });
  checkTensor(caller, 'student', student, { minRank: 1 });
  checkTensor(caller, 'teacher', teacher, { shape: student.shape });
  return tidy(() => {
    const given = div(teacher, temperature);
    const target = softmax(given);
    const log = logSoftmax(div(student, temperature));
    const score = divergence ? sub(log, logSoftmax(given)) : log;
    return mul(neg(mean(sum(mul(target, score), -1))), temperature ** 2) as Scalar;
  });
}
