import '@tensorflow/tfjs-backend-wasm';
import { registerWasmTrainingKernels } from '@orth/backend';
import { Gpt, OPTIMIZERS, parseSize, type SizeName } from '@orth/race';
import {
  getBackend,
  type Scalar,
  setBackend,
  tensor1d,
  tidy,
  variableGrads,
} from '@tensorflow/tfjs-core';
import type { BenchCase, BenchContext } from '../harness/bench.js';
import { type Contestant, inProcess } from '../harness/contestant.js';
import type { HostTensor } from '../harness/pythonPeers.js';

const BATCH = 16;
const LEARNING_RATE = 0.004;
/** Steps after which losses are compared: by then every part of the step has had its say. */
const COMPARED_STEPS = 4;
/** Muon and AdamW as the race sets them. */
const MUON = {
  learningRate: LEARNING_RATE,
  weightDecay: 0.1,
  momentum: 0.95,
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
};

let models = 0;

interface Text {
  readonly inputs: Int32Array;
  readonly targets: Int32Array;
}

/** A model on the active backend, and a function that trains it one step and gives the loss before it. */
function createTraining(size: SizeName, text: Text, context: BenchContext) {
  const shape = parseSize(size);
  const model = new Gpt(`bench-race${models++}`, shape, context.random(11));
  const optimizer = OPTIMIZERS.muon.create(() => LEARNING_RATE);
  const batch = {
    inputs: tensor1d(text.inputs, 'int32'),
    targets: tensor1d(text.targets, 'int32'),
    length: shape.context,
  };
  const step = (): number =>
    tidy(() => {
      const { value, grads } = variableGrads(
        () => model.loss(batch) as Scalar,
        [...model.variables],
      );
      optimizer.applyGradients(grads as never);
      return value.dataSync()[0]!;
    });
  return {
    model,
    step,
    dispose() {
      optimizer.dispose();
      model.dispose();
      batch.inputs.dispose();
      batch.targets.dispose();
    },
  };
}

/** Loss before the last of the compared steps, from the start. */
function comparedLoss(size: SizeName, text: Text, context: BenchContext): number {
  const training = createTraining(size, text, context);
  let loss = 0;
  for (let step = 0; step < COMPARED_STEPS; step++) loss = training.step();
  training.dispose();
  return loss;
}

/** A training step of the race's GPT with Muon: ours, and the same model and optimiser in PyTorch. */
export function raceStepCase(context: BenchContext, size: SizeName): BenchCase {
  const shape = parseSize(size);
  const tokens = BATCH * shape.context;
  return {
    name: 'backends/race-step',
    size: `${size}, ${tokens} tokens`,
    errorMeasure: `|loss at step ${COMPARED_STEPS} − that on wasm|`,
    async prepare() {
      const random = context.random(5);
      const bytes = Int32Array.from({ length: tokens + 1 }, () =>
        Math.min(255, Math.floor(Math.abs(random.normal()) * 60)),
      );
      const text = { inputs: bytes.slice(0, -1), targets: bytes.slice(1) };
      const training = createTraining(size, text, context);
      const names = training.model.variables.map(({ name }) => name);
      const initial = await training.model.getWeights();
      const weights = Object.fromEntries(
        training.model.variables.map(({ name, shape }, i): [string, HostTensor] => [
          `weight${i}`,
          { shape, data: initial[name]! },
        ]),
      );
      const floats = (data: Int32Array): HostTensor => ({
        shape: [data.length],
        data: Float32Array.from(data),
      });
      const reference = await onWasm(() => comparedLoss(size, text, context));
      const error = (loss: number) => Math.abs(loss - reference);
      const ours: Contestant = inProcess(
        'Gpt, Muon',
        () => training.step(),
        () => error(comparedLoss(size, text, context)),
      );
      const params = {
        ...MUON,
        layers: shape.layers,
        heads: shape.heads,
        length: shape.context,
        muon: names.flatMap((name, i) => (name.includes('/block') ? [i] : [])),
      };
      const inputs = { ...weights, inputs: floats(text.inputs), targets: floats(text.targets) };
      return {
        ours,
        peers: [
          ...(context.backend === 'wasm' ? [] : [await wasmContestant(size, text, context)]),
          ...(await context.python.torch({
            script: 'race',
            params: { ...params, steps: 1 },
            inputs,
            accuracy: { params: { ...params, steps: COMPARED_STEPS }, inputs },
            error: ([loss]) => error(loss!.data[0]!),
          })),
        ],
        dispose: () => training.dispose(),
      };
    },
  };
}

/** The same step on tfjs's wasm backend with our kernels: alone, tfjs lacks the gradient of an embedding there. */
async function wasmContestant(
  size: SizeName,
  text: Text,
  context: BenchContext,
): Promise<Contestant> {
  const training = await onWasm(() => createTraining(size, text, context));
  const contestant = inProcess('ours on wasm', training.step, () => 0);
  return {
    ...contestant,
    time: (runs) => onWasm(() => contestant.time(runs)),
    dispose: () => onWasm(() => training.dispose()),
  };
}

async function onWasm<T>(work: () => T | Promise<T>): Promise<T> {
  const active = getBackend();
  registerWasmTrainingKernels();
  await setBackend('wasm');
  try {
    return await work();
  } finally {
    await setBackend(active);
  }
}
