/** One optimiser step on the parameters of a GPT: Muon, its relatives and AdamW against tfjs's Adam and PyTorch. */
import {
  AdamW,
  AuON,
  DctAdamW,
  type Gradients,
  HybridAuON,
  learningRateScale,
  Muon,
  NorMuon,
  Root,
  Trion,
} from '@orth/muon';
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
import {
  auon64,
  dctAdamW64,
  descend64,
  norMuon64,
  type Rule64,
  root64,
  trion64,
} from '../reference/family64.js';
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

/** The matrices of the blocks to one optimizer, all else to AdamW. */
const own = <Name extends string>(optimizer: Name) => ({
  groups: [
    { match: /\/block\d+\/(attention|mlp)\//, optimizer },
    { match: /./, optimizer: 'adamW' as const },
  ],
  adamW: { ...ADAM, weightDecay: 0 },
});

/** Rank of the low-rank optimizers, as a share of a matrix' shorter side. */
const RANK = 0.25;

/** The optimizers under test, by name. */
const OPTIMIZERS = {
  adamW: () => new AdamW({ ...ADAM, weightDecay: 0 }),
  muon: () => new Muon({ ...MUON, ...own('muon') }),
  norMuon: () => new NorMuon({ ...MUON, ...own('norMuon') }),
  root: () => new Root({ ...MUON, weightDecay: 0, ...own('root') }),
  auON: () => new AuON({ ...MUON, ...own('auON') }),
  hybridAuON: () => new HybridAuON({ ...MUON, ...own('hybridAuON') }),
  trion: () => new Trion({ ...MUON, rank: RANK, ...own('trion') }),
  dctAdamW: () => new DctAdamW({ ...ADAM, rank: RANK, ...own('dctAdamW') }),
  tfjsAdam: () => train.adam(ADAM.learningRate, ADAM.beta1, ADAM.beta2, ADAM.epsilon),
} satisfies Record<string, () => Optimizer>;
type OptimizerName = keyof typeof OPTIMIZERS;

/** Muon's relatives: their names, and what they do to a matrix. */
const FAMILY = {
  norMuon: { label: 'NorMuon', learningRate: MUON.learningRate, rule: () => norMuon64() },
  root: { label: 'ROOT', learningRate: MUON.learningRate, rule: () => root64() },
  auON: { label: 'AuON', learningRate: MUON.learningRate, rule: () => auon64(false) },
  hybridAuON: { label: 'Hybrid-AuON', learningRate: MUON.learningRate, rule: () => auon64(true) },
  trion: { label: 'Trion, rank 1/4', learningRate: MUON.learningRate, rule: () => trion64(RANK) },
  dctAdamW: {
    label: 'DCT-AdamW, rank 1/4',
    learningRate: ADAM.learningRate,
    rule: () => dctAdamW64(RANK, ADAM),
  },
} satisfies Record<string, { label: string; learningRate: number; rule: () => Rule64 }>;
type FamilyName = keyof typeof FAMILY;

const isFamily = (name: string): name is FamilyName => name in FAMILY;

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

/** A parameter after steps from zero, in float64. */
function wanted(name: OptimizerName, parameter: Parameter, each: Float32Array[]): Float64Array {
  if (!isMuons(parameter)) return adam64(each, ADAM);
  const shape = parameter.shape as [number, number];
  if (isFamily(name)) {
    const { learningRate, rule } = FAMILY[name];
    return descend64(shape, each, learningRate, rule());
  }
  if (name !== 'muon') return adam64(each, ADAM);
  return muon64(shape, each, { ...MUON, learningRate: MUON.learningRate * scaleOf(parameter) });
}

/** Worst relative error of a parameter after three steps from zero. */
function errorOf(
  parameters: Parameter[],
  gradients: HostTensor[],
  results: readonly ArrayLike<number>[],
  name: OptimizerName,
): number {
  const errors = parameters.map((parameter, i) => {
    const each = GRADIENT_SCALES.map((factor) => scaled(gradients[i]!, factor).data);
    const want = wanted(name, parameter, each);
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
  return errorOf(parameters, gradients, results, name);
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
  name: Exclude<OptimizerName, 'tfjsAdam'>,
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
      const adam = await plainTfjsContestant(() =>
        contestant('tfjsAdam', `${plainTfjsName()} train.adam`),
      );
      // Nobody else has these in JavaScript or in torch: what they add is seen beside Muon.
      if (isFamily(name)) {
        const { label } = FAMILY[name];
        return {
          ours: contestant(name, label),
          peers: [contestant('muon', '@orth/muon Muon'), adam],
        };
      }
      const peers: Peer[] = [
        adam,
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
              name,
            ),
        })),
      ];
      return { ours: contestant(name, name === 'muon' ? 'Muon' : 'AdamW'), peers };
    },
  };
}

export const bench: Bench = {
  name: 'muon',
  description:
    'one step of Muon, its relatives and AdamW on the parameters of a GPT against tfjs Adam and PyTorch',
  cases: (context) =>
    (context.quick ? [SMALL] : [SMALL, LARGE]).flatMap((dimensions) => [
      stepCase(context, dimensions, 'muon'),
      stepCase(context, dimensions, 'adamW'),
      ...(Object.keys(FAMILY) as FamilyName[]).map((name) => stepCase(context, dimensions, name)),
    ]),
};
