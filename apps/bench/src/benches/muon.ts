/** One optimiser step on the parameters of a GPT: Muon and AdamW against tfjs's Adam and PyTorch. */
import { AdamW, type Gradients, learningRateScale, Muon } from '@orth/muon';
import {
  type Optimizer,
  type Tensor,
  train,
  type Variable,
  variable,
  zeros,
} from '@tensorflow/tfjs-core';
import type { Bench, BenchCase, BenchContext } from '../harness/bench.js';
import { type Contestant, inProcess, type Peer } from '../harness/contestant.js';
import { isSynchronous, toDevice } from '../harness/deviceTensor.js';
import { plainTfjsContestant, plainTfjsName } from '../harness/plainTfjs.js';
import type { HostTensor, PythonInput } from '../harness/pythonPeers.js';
import { relativeError } from '../reference/matrix64.js';
import { adam64, muon64 } from '../reference/optimizers64.js';

/** A GPT's dimensions. */
interface Dimensions {
  readonly label: string;
  readonly layers: number;
  readonly width: number;
  readonly vocabulary: number;
  readonly context: number;
}

const SMALL: Dimensions = {
  label: 'GPT 4x128, 0.9M',
  layers: 4,
  width: 128,
  vocabulary: 256,
  context: 128,
};
const LARGE: Dimensions = {
  label: 'GPT 6x384, 10.8M',
  layers: 6,
  width: 384,
  vocabulary: 256,
  context: 256,
};
/** Where errors are measured: every kind of parameter once, small enough for float64 in JavaScript. */
const ACCURACY: Dimensions = { label: '', layers: 1, width: 64, vocabulary: 96, context: 32 };

const ADAM = { learningRate: 1e-3, beta1: 0.9, beta2: 0.95, epsilon: 1e-7 } as const;
const MUON = { learningRate: 0.02, momentum: 0.95 } as const;

/** Each step of the accuracy run scales the gradients anew, so that moments and bias corrections matter. */
const GRADIENT_SCALES = [1, -0.5, 2];

interface Parameter {
  readonly name: string;
  readonly shape: number[];
}

/** Parameters in tfjs's layout `[in, out]`. */
function parametersOf({ layers, width, vocabulary, context }: Dimensions): Parameter[] {
  const blocks = Array.from({ length: layers }, (_, i) => [
    { name: `block${i}/norm1/scale`, shape: [width] },
    { name: `block${i}/attention/query`, shape: [width, width] },
    { name: `block${i}/attention/key`, shape: [width, width] },
    { name: `block${i}/attention/value`, shape: [width, width] },
    { name: `block${i}/attention/output`, shape: [width, width] },
    { name: `block${i}/norm2/scale`, shape: [width] },
    { name: `block${i}/mlp/up`, shape: [width, 4 * width] },
    { name: `block${i}/mlp/down`, shape: [4 * width, width] },
  ]);
  return [
    { name: 'embedding/tokens', shape: [vocabulary, width] },
    { name: 'embedding/positions', shape: [context, width] },
    ...blocks.flat(),
    { name: 'norm/scale', shape: [width] },
    { name: 'head/kernel', shape: [width, vocabulary] },
  ];
}

const isMuons = ({ shape, name }: Parameter) => shape.length === 2 && name.startsWith('block');
const scaleOf = ({ shape: [inSize, outSize] }: Parameter) =>
  learningRateScale('original', outSize!, inSize!);

/** The optimizers under test, by name. */
const OPTIMIZERS = {
  adamW: () => new AdamW({ ...ADAM, weightDecay: 0 }),
  muon: () =>
    new Muon({
      ...MUON,
      groups: [
        { match: /\/block\d+\/(attention|mlp)\//, optimizer: 'muon' },
        { match: /./, optimizer: 'adamW' },
      ],
      adamW: { ...ADAM, weightDecay: 0 },
    }),
  tfjsAdam: () => train.adam(ADAM.learningRate, ADAM.beta1, ADAM.beta2, ADAM.epsilon),
} satisfies Record<string, () => Optimizer>;
type OptimizerName = keyof typeof OPTIMIZERS;

const gradientsFor = (context: BenchContext, parameters: Parameter[]): HostTensor[] => {
  const random = context.random(parameters.length);
  return parameters.map(({ shape }) => {
    const size = shape.reduce((product, n) => product * n, 1);
    return { shape, data: Float32Array.from({ length: size }, () => 0.01 * random.normal()) };
  });
};

let runs = 0;

/** Zero variables. tfjs keeps all variables of a process by name, hence a prefix for each training. */
function createVariables(parameters: Parameter[]): Variable[] {
  const prefix = `bench${runs++}`;
  return parameters.map(({ name, shape }) => {
    const initial = zeros(shape);
    const result = variable(initial, true, `${prefix}/${name}`);
    initial.dispose();
    return result;
  });
}

const toMap = (variables: Variable[], gradients: Tensor[]): Gradients =>
  Object.fromEntries(variables.map(({ name }, i) => [name, gradients[i]!])) as Gradients;

/** Variables and gradients on the device, and one optimizer over them. */
function createTraining(name: OptimizerName, parameters: Parameter[], gradients: HostTensor[]) {
  const variables = createVariables(parameters);
  const onDevice = gradients.map(toDevice);
  const optimizer: Optimizer = OPTIMIZERS[name]();
  const map = toMap(variables, onDevice);
  return {
    variables,
    step: () => optimizer.applyGradients(map),
    dispose() {
      optimizer.dispose();
      for (const x of [...variables, ...onDevice]) x.dispose();
    },
  };
}

const scaled = ({ shape, data }: HostTensor, factor: number): HostTensor => ({
  shape,
  data: data.map((x) => x * factor),
});

/** Worst relative error of a parameter after three steps from zero. */
function errorOf(
  parameters: Parameter[],
  gradients: HostTensor[],
  results: readonly ArrayLike<number>[],
  muon: boolean,
): number {
  const errors = parameters.map((parameter, i) => {
    const each = GRADIENT_SCALES.map((factor) => scaled(gradients[i]!, factor).data);
    const want =
      muon && isMuons(parameter)
        ? muon64(parameter.shape as [number, number], each, {
            ...MUON,
            learningRate: MUON.learningRate * scaleOf(parameter),
          })
        : adam64(each, ADAM);
    return relativeError(results[i]!, want);
  });
  return Math.max(...errors);
}

async function accuracy(name: OptimizerName, context: BenchContext): Promise<number> {
  const parameters = parametersOf(ACCURACY);
  const gradients = gradientsFor(context, parameters);
  const variables = createVariables(parameters);
  const optimizer: Optimizer = OPTIMIZERS[name]();
  for (const factor of GRADIENT_SCALES) {
    const onDevice = gradients.map((gradient) => toDevice(scaled(gradient, factor)));
    optimizer.applyGradients(toMap(variables, onDevice));
    for (const x of onDevice) x.dispose();
  }
  const results = await Promise.all(variables.map((v) => v.data()));
  optimizer.dispose();
  for (const v of variables) v.dispose();
  return errorOf(parameters, gradients, results, name === 'muon');
}

function pythonInput(
  optimizer: 'adamW' | 'muon',
  parameters: Parameter[],
  gradients: HostTensor[],
  steps: number,
  gradientScales: readonly number[],
): PythonInput {
  const inputs = Object.fromEntries(
    parameters.flatMap(({ shape }, i) => {
      const size = gradients[i]!.data.length;
      return [
        [`weight${i}`, { shape, data: new Float32Array(size) }],
        [`gradient${i}`, gradients[i]!],
      ];
    }),
  );
  const params = {
    ...ADAM,
    optimizer,
    steps,
    gradientScales,
    routes: parameters.map((p) => (isMuons(p) ? 'muon' : 'adamW')),
    scales: parameters.map((p) => (isMuons(p) ? scaleOf(p) : 1)),
    muonLearningRate: MUON.learningRate,
    momentum: MUON.momentum,
  };
  return { params, inputs };
}

function stepCase(
  context: BenchContext,
  dimensions: Dimensions,
  name: 'adamW' | 'muon',
): BenchCase {
  return {
    name: `muon/${name}-step`,
    size: dimensions.label,
    errorMeasure:
      'worst parameter of a small GPT after 3 steps from zero, relative to float64 (Frobenius)',
    async prepare() {
      const parameters = parametersOf(dimensions);
      const gradients = gradientsFor(context, parameters);
      const contestant = (optimizer: OptimizerName, label: string): Contestant => {
        const training = createTraining(optimizer, parameters, gradients);
        const last = training.variables.at(-1)!;
        const timed = inProcess(
          label,
          () => {
            training.step();
            return isSynchronous() ? undefined : last.data();
          },
          () => accuracy(optimizer, context),
        );
        return { ...timed, dispose: training.dispose };
      };
      const small = parametersOf(ACCURACY);
      const smallGradients = gradientsFor(context, small);
      const peers: Peer[] = [
        await plainTfjsContestant(() => contestant('tfjsAdam', `${plainTfjsName()} train.adam`)),
        ...(await context.python.torch({
          script: 'optimizer',
          label: name === 'muon' ? 'Muon' : 'AdamW',
          ...pythonInput(name, parameters, gradients, 1, [1]),
          accuracy: pythonInput(name, small, smallGradients, 3, GRADIENT_SCALES),
          error: (outputs) =>
            errorOf(
              small,
              smallGradients,
              outputs.map(({ data }) => data),
              name === 'muon',
            ),
        })),
      ];
      return { ours: contestant(name, name === 'muon' ? 'Muon' : 'AdamW'), peers };
    },
  };
}

export const bench: Bench = {
  name: 'muon',
  description: 'one optimiser step on the parameters of a GPT against tfjs Adam and PyTorch',
  cases: (context) =>
    (context.quick ? [SMALL] : [SMALL, LARGE]).flatMap((dimensions) => [
      stepCase(context, dimensions, 'muon'),
      stepCase(context, dimensions, 'adamW'),
    ]),
};
