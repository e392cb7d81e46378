/** A masked autoencoder for digits, with a second decoder that predicts how hard each patch is. */
import type { Random } from '@orth/backend';
import { gatherPatches, patchIndices, patchify } from '@orth/losses';
import {
  add,
  broadcastTo,
  concat,
  div,
  matMul,
  mean,
  mul,
  ones,
  relu,
  reshape,
  rsqrt,
  slice,
  softmax,
  square,
  sub,
  type Tensor,
  tensor,
  tidy,
  transpose,
  type Variable,
  variable,
  zeros,
} from '@tensorflow/tfjs-core';

/** Pixels on a patch's side, and patches of a digit. */
export const PATCH = 4;
export const PATCHES = 49;
const SIDE = 7;
const VALUES = PATCH * PATCH;

const ENCODER = { width: 32, blocks: 2, heads: 4 };
const DECODER = { width: 24, blocks: 1, heads: 4 };

/** What a forward pass gives. */
export interface MaeOutputs {
  /** Of the masked patches, shape `[N, M, 16]`. */
  readonly reconstruction: Tensor;
  /** Predicted losses of the masked patches, shape `[N, M]`. */
  readonly hardness: Tensor;
}

let models = 0;

/** Encoder on the visible patches, and two decoders of one shape, as in HPM: reconstruction and its predicted loss. */
export class TinyMae {
  readonly variables: Variable[] = [];
  private readonly byName = new Map<string, Variable>();
  private readonly prefix = `mae${models++}`;
  private readonly positions: Readonly<Record<'encoder' | 'decoder', Tensor>>;

  constructor(private readonly random: Random) {
    this.positions = {
      encoder: positionsOf(ENCODER.width),
      decoder: positionsOf(DECODER.width),
    };
    this.dense('patch', VALUES, ENCODER.width);
    this.add('class', random.normalTensor([1, 1, ENCODER.width], 0, 0.02));
    this.blocks('encoder', ENCODER);
    for (const name of ['reconstruct', 'predict']) {
      this.dense(`${name}/embed`, ENCODER.width, DECODER.width);
      this.add(`${name}/mask`, random.normalTensor([1, 1, DECODER.width], 0, 0.02));
      this.blocks(name, DECODER);
      this.dense(`${name}/head`, DECODER.width, VALUES);
    }
  }

  private add(name: string, initial: Tensor): void {
    const v = variable(initial, true, `${this.prefix}/${name}`);
    initial.dispose();
    this.byName.set(name, v);
    this.variables.push(v);
  }

  private dense(name: string, inputs: number, outputs: number): void {
    const bound = Math.sqrt(6 / (inputs + outputs));
    this.add(`${name}/kernel`, this.random.uniformTensor([inputs, outputs], -bound, bound));
    this.add(`${name}/bias`, zeros([outputs]));
  }

  private blocks(name: string, { width, blocks }: typeof ENCODER): void {
    const norm = (at: string) => {
      this.add(`${at}/scale`, ones([width]));
      this.add(`${at}/offset`, zeros([width]));
    };
    for (let i = 0; i < blocks; i++) {
      const at = `${name}/block${i}`;
      norm(`${at}/norm1`);
      this.dense(`${at}/qkv`, width, 3 * width);
      this.dense(`${at}/out`, width, width);
      norm(`${at}/norm2`);
      this.dense(`${at}/up`, width, 4 * width);
      this.dense(`${at}/down`, 4 * width, width);
    }
    norm(`${name}/norm`);
  }

  private get(name: string): Variable {
    return this.byName.get(name)!;
  }

  private apply(name: string, x: Tensor): Tensor {
    const [N, L, width] = x.shape as [number, number, number];
    const kernel = this.get(`${name}/kernel`);
    const flat = matMul(reshape(x, [N * L, width]), kernel as Tensor as never);
    return reshape(add(flat, this.get(`${name}/bias`)), [N, L, kernel.shape[1]!]);
  }

  private normalize(name: string, x: Tensor): Tensor {
    const centred = sub(x, mean(x, -1, true));
    const scale = rsqrt(add(mean(square(centred), -1, true), 1e-6));
    return add(mul(mul(centred, scale), this.get(`${name}/scale`)), this.get(`${name}/offset`));
  }

  private transform(name: string, tokens: Tensor, { width, blocks, heads }: typeof ENCODER) {
    const [N, L] = tokens.shape as [number, number];
    const split = (x: Tensor, at: number) =>
      transpose(
        reshape(slice(x, [0, 0, at * width], [N, L, width]), [N, L, heads, -1]),
        [0, 2, 1, 3],
      );
    let x = tokens;
    for (let i = 0; i < blocks; i++) {
      const at = `${name}/block${i}`;
      const qkv = this.apply(`${at}/qkv`, this.normalize(`${at}/norm1`, x));
      const scores = matMul(split(qkv, 0), split(qkv, 1), false, true);
      const weights = softmax(div(scores, Math.sqrt(width / heads)));
      const mixed = reshape(transpose(matMul(weights, split(qkv, 2)), [0, 2, 1, 3]), [N, L, width]);
      x = add(x, this.apply(`${at}/out`, mixed));
      const up = relu(this.apply(`${at}/up`, this.normalize(`${at}/norm2`, x)));
      x = add(x, this.apply(`${at}/down`, up));
    }
    return this.normalize(`${name}/norm`, x);
  }

  /** Tokens of the class and of the patches at some indices, shape `[N, 1 + V, 32]`. */
  private encode(images: Tensor, visible: Tensor | undefined): Tensor {
    const patches = this.apply('patch', patchify(images, PATCH));
    const placed = add(patches, this.positions.encoder);
    const seen = visible ? gatherPatches(placed, visible) : placed;
    const first = broadcastTo(this.get('class'), [images.shape[0]!, 1, ENCODER.width]);
    return this.transform('encoder', concat([first, seen], 1), ENCODER);
  }

  /** A decoder's outputs for the masked patches, or for all where none is masked. */
  private decode(name: string, encoded: Tensor, places?: { masked: Tensor; visible: Tensor }) {
    const N = encoded.shape[0]!;
    const seen = this.apply(`${name}/embed`, encoded);
    const positions = broadcastTo(this.positions.decoder, [N, PATCHES, DECODER.width]);
    const of = (indices: Tensor) => gatherPatches(positions, indices);
    const first = slice(seen, [0, 0, 0], [N, 1, DECODER.width]);
    const rest = slice(seen, [0, 1, 0], [N, seen.shape[1]! - 1, DECODER.width]);
    const tokens = [first, add(rest, places ? of(places.visible) : positions)];
    // The order of the tokens is class, visible, masked: that of the images only where nothing is masked.
    if (places) tokens.push(add(this.get(`${name}/mask`), of(places.masked)));
    const x = this.apply(`${name}/head`, this.transform(name, concat(tokens, 1), DECODER));
    const M = places ? places.masked.shape[1]! : PATCHES;
    return slice(x, [0, x.shape[1]! - M, 0], [N, M, VALUES]);
  }

  /** Reconstructs the masked patches, and predicts how badly. */
  reconstruct(images: Tensor, mask: Tensor, masked: number): MaeOutputs {
    return tidy(() => {
      const places = patchIndices(mask, { masked });
      const encoded = this.encode(images, places.visible);
      return {
        reconstruction: this.decode('reconstruct', encoded, places),
        hardness: mean(this.decode('predict', encoded, places), -1),
      };
    });
  }

  /** Predicted losses of all patches from the whole image, shape `[N, 49]`. */
  hardness(images: Tensor): Tensor {
    return tidy(() => mean(this.decode('predict', this.encode(images, undefined)), -1));
  }

  /** Mean of the patches' tokens of whole images, shape `[N, 32]`. */
  features(images: Tensor): Tensor {
    return tidy(() => {
      const tokens = this.encode(images, undefined);
      return mean(slice(tokens, [0, 1, 0], [images.shape[0]!, PATCHES, ENCODER.width]), 1);
    });
  }

  dispose(): void {
    for (const v of [...this.variables, this.positions.encoder, this.positions.decoder]) {
      v.dispose();
    }
  }
}

/** Fixed sines and cosines of row and column, shape `[1, 49, width]`. */
function positionsOf(width: number): Tensor {
  const quarter = width / 4;
  const data = new Float32Array(PATCHES * width);
  for (let j = 0; j < PATCHES; j++) {
    for (const [part, at] of [Math.floor(j / SIDE), j % SIDE].entries()) {
      for (let k = 0; k < quarter; k++) {
        const angle = at / 10_000 ** (k / quarter);
        data[j * width + 2 * part * quarter + k] = Math.sin(angle);
        data[j * width + (2 * part + 1) * quarter + k] = Math.cos(angle);
      }
    }
  }
  return tensor(data, [1, PATCHES, width]);
}
