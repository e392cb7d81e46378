/**
 * Registers the gradients of tfjs's kernels, which `@tensorflow/tfjs-core` leaves out when Node loads it. The core
 * comes first: its environment must exist before a gradient file asks it for a flag.
 */
import '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-core/dist/register_all_gradients.js';
