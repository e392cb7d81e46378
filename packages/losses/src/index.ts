// What all losses share
export type { LossOptions } from './lossArguments.js';
export { type Reduction, reduceLoss } from './reduction.js';
