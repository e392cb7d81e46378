import { cast, mul, type Tensor } from '@tensorflow/tfjs-core';

/**
 * 1 where a condition holds, else 0, as float32. tfjs's WebGPU backend casts booleans without touching them, and kernels
 * that copy (transpose, and so reductions over inner axes) then do not compile; a product makes real floats.
 */
export const indicator = (condition: Tensor): Tensor => mul(cast(condition, 'float32'), 1);
