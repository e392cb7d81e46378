import type { OnnxConstant, OnnxGraph, OnnxNode } from '../native/onnxModel.js';

/** tfjs's fused activations. */
export type Activation = 'linear' | 'relu' | 'relu6' | 'elu' | 'sigmoid' | 'prelu' | 'leakyrelu';

/** What follows a product: a bias and an activation. */
export interface Epilogue {
  readonly bias: boolean;
  readonly activation: Activation;
  /** Slope of `leakyrelu` for negative numbers. */
  readonly alpha: number;
}

/** The product as it is. */
export const NO_EPILOGUE: Epilogue = { bias: false, activation: 'linear', alpha: 0 };

const scalar = (name: string, value: number): OnnxConstant => ({
  name,
  type: 'float32',
  data: [value],
});

const CONSTANTS: Partial<Record<Activation, readonly OnnxConstant[]>> = {
  relu6: [scalar('zero', 0), scalar('six', 6)],
  sigmoid: [scalar('one', 1)],
};

const SIMPLE: Partial<Record<Activation, string>> = {
  relu: 'Relu',
  elu: 'Elu',
};

/** Distinguishes programs by their epilogue. */
export function epilogueKey({ bias, activation, alpha }: Epilogue): string {
  const slope = activation === 'leakyrelu' ? `=${alpha}` : '';
  return `${bias ? '+bias' : ''}+${activation}${slope}`;
}

/** Whether there is anything to do after the product. */
export function hasEpilogue({ bias, activation }: Epilogue): boolean {
  return bias || activation !== 'linear';
}

/**
 * Extends a graph whose only output is `product` by bias and activation; the output is `y` then. Further inputs, in
 * this order: `bias` where there is one, `slope` for `prelu`.
 */
export function withEpilogue(graph: OnnxGraph, epilogue: Epilogue): OnnxGraph {
  const { bias, activation, alpha } = epilogue;
  const steps: (Omit<OnnxNode, 'inputs' | 'outputs'> & { further?: string[] })[] = [];
  if (bias) steps.push({ operator: 'Add', further: ['bias'] });
  const simple = SIMPLE[activation];
  if (simple) steps.push({ operator: simple });
  // ONNX Runtime's own sigmoid loses all digits below −15.
  if (activation === 'sigmoid') {
    steps.push({ operator: 'Neg' }, { operator: 'Exp' });
    steps.push({ operator: 'Add', further: ['one'] }, { operator: 'Reciprocal' });
  }
  if (activation === 'relu6') steps.push({ operator: 'Clip', further: ['zero', 'six'] });
  if (activation === 'prelu') steps.push({ operator: 'PRelu', further: ['slope'] });
  if (activation === 'leakyrelu') {
    steps.push({ operator: 'LeakyRelu', attributes: { alpha: { float: alpha } } });
  }
  const nodes = steps.map(({ further = [], ...rest }, i) => ({
    ...rest,
    inputs: [i === 0 ? 'product' : `step${i}`, ...further],
    outputs: [i === steps.length - 1 ? 'y' : `step${i + 1}`],
  }));
  return {
    inputs: [
      ...graph.inputs,
      ...(bias ? ['bias'] : []),
      ...(activation === 'prelu' ? ['slope'] : []),
    ],
    outputs: [steps.length > 0 ? 'y' : 'product'],
    nodes: [...graph.nodes, ...nodes],
    constants: [...(graph.constants ?? []), ...(CONSTANTS[activation] ?? [])],
  };
}
