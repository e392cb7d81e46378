/** What adapters cost and save: a step of training, its memory, and inference once merged. */
import type { AdaptOptions } from '@orth/lora-group';
import type { Bench, BenchCase, BenchContext } from '../harness/bench.js';
import { type Contestant, inProcess } from '../harness/contestant.js';
import { execute } from '../harness/deviceTensor.js';
import { type Stack, sizeOf, TrainedStack } from '../problems/adapterTraining.js';
import { type PenalizedLayer, penaltyCase } from '../problems/convolutionPenalty.js';

const SMALL: Stack = { layers: 4, width: 256, batch: 128 };
const LARGE: Stack = { layers: 6, width: 768, batch: 256 };

const PENALIZED: readonly PenalizedLayer[] = [
  { channels: 8, side: 8 },
  { channels: 16, side: 8 },
  { channels: 128, side: 14 },
];

const WAYS: Readonly<
  Record<string, { readonly options: AdaptOptions; readonly penalty?: number }>
> = {
  'LoRA r 8': { options: { r: 8 } },
  'DoRA r 8': { options: { r: 8, useDora: true } },
  'group of 4, r 4': { options: { r: 4, n: 4 } },
  'PEGO, 4 of r 4': { options: { r: 4, n: 4 }, penalty: 1e-3 },
};

const PEAK = 'peak memory of a step in MB, weights and moments of Adam included';

async function trainingOf(context: BenchContext, stack: Stack, way?: string): Promise<Contestant> {
  const training = new TrainedStack(context, stack);
  if (way !== undefined) await training.adapt(WAYS[way]!.options, WAYS[way]!.penalty);
  const count = training.trained.reduce((sum, { size }) => sum + size, 0);
  const name = `${way ?? 'full fine-tuning'}, ${(count / 1e6).toFixed(2)}M trained`;
  return {
    ...inProcess(
      name,
      () => training.step(),
      () => training.peak(),
    ),
    dispose: () => training.dispose(),
  };
}

function stepCase(context: BenchContext, stack: Stack, way: string): BenchCase {
  return {
    name: `lora/step: ${way}`,
    size: sizeOf(stack),
    errorMeasure: PEAK,
    async prepare() {
      return {
        ours: await trainingOf(context, stack, way),
        peers: [await trainingOf(context, stack)],
      };
    },
  };
}

/** Inference through the merged adapters against the plain products of the same weights. */
function mergedCase(context: BenchContext, stack: Stack): BenchCase {
  return {
    name: 'lora/inference, merged',
    size: sizeOf(stack),
    errorMeasure: 'greatest difference from the merged output, relative to its greatest entry',
    async prepare() {
      const make = async (merged: boolean) => {
        const model = await new TrainedStack(context, stack).adapt({ r: 8, init: 'random' });
        if (merged) model.merge();
        return model;
      };
      const [merged, apart] = [await make(true), await make(false)];
      const want = merged.forward();
      const reference = Float32Array.from(await want.data());
      want.dispose();
      const largest = reference.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
      const contestant = (
        name: string,
        forward: () => ReturnType<TrainedStack['forward']>,
      ): Contestant =>
        inProcess(
          name,
          () => execute(forward),
          async () => {
            const y = forward();
            const values: ArrayLike<number> = await y.data();
            y.dispose();
            return (
              Array.from(values).reduce(
                (most, v, i) => Math.max(most, Math.abs(v - reference[i]!)),
                0,
              ) / largest
            );
          },
        );
      return {
        ours: contestant('merged adapters', () => merged.forward()),
        peers: [
          contestant('the model without this library', () => merged.plainForward()),
          contestant('adapters not merged, r 8', () => apart.forward()),
        ],
        dispose() {
          merged.dispose();
          apart.dispose();
        },
      };
    },
  };
}

export const bench: Bench = {
  name: 'lora',
  description:
    'a training step and its memory with adapters against full fine-tuning; inference with merged adapters; L_orth',
  cases: (context) => [
    ...(context.quick ? [SMALL] : [SMALL, LARGE]).flatMap((stack) => [
      ...Object.keys(WAYS).map((way) => stepCase(context, stack, way)),
      mergedCase(context, stack),
    ]),
    ...PENALIZED.slice(0, context.quick ? 1 : PENALIZED.length).map((layer) =>
      penaltyCase(context, layer),
    ),
  ],
};
