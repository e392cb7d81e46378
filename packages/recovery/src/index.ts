export {
  type BernoulliGaussianOptions,
  bernoulliGaussian,
  bernoulliGaussianStream,
} from './bernoulliGaussian.js';
export { type DenseMatrix, type MatrixInput, toTensor2D } from './denseMatrix.js';
export { atomError, dictionaryError } from './dictionaryErrors.js';
export type { OnlineDictionaryState } from './dictionaryState.js';
export {
  type DictionaryGradient,
  dictionaryGradient,
  type FrankWolfeUpdate,
  frankWolfeUpdate,
} from './dictionaryStep.js';
export { type MspOptions, type MspResult, mspDictionary, mspStep } from './mspDictionary.js';
export {
  type DictionaryReport,
  type FitStreamOptions,
  OnlineOrthogonalDictionary,
} from './onlineDictionary.js';
export type {
  DictionaryPolar,
  OnlineDictionaryOptions,
  RestoreDictionaryOptions,
} from './onlineDictionaryOptions.js';
export { randomOrthogonal } from './orthonormal.js';
export { decodeSparse, encodeSparse, type SparseCodeOptions } from './sparseCode.js';
