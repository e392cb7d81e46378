/**
 * Adapters for golden fixtures, one file a system: everything is read off the names of inputs, parameters and outputs, so
 * that fixtures of other shapes and variants run as they are.
 */
import type { Adapter } from '@orth/testing';
import { adapters as lambdaOrth } from './adapters/lambdaOrth.js';
import { adapters as lora } from './adapters/lora.js';
import { adapters as msgcoop } from './adapters/msgcoop.js';
import { adapters as orthConv } from './adapters/orthConv.js';
import { adapters as orthoRegs } from './adapters/orthoRegs.js';
import { adapters as pego } from './adapters/pego.js';

export const adapters: Record<string, Adapter> = {
  ...lambdaOrth,
  ...lora,
  ...msgcoop,
  ...orthConv,
  ...orthoRegs,
  ...pego,
};
