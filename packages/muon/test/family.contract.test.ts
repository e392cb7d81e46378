import {
  AuON,
  type AuONOptions,
  DctAdamW,
  type DctAdamWOptions,
  HybridAuON,
  type HybridAuONOptions,
  NorMuon,
  type NorMuonOptions,
  Root,
  type RootOptions,
  Trion,
  type TrionOptions,
} from '@orth/muon';
import { type ContractEntry, optimizerContract } from './contract.js';

function entry<Options extends object>(
  name: string,
  cls: new (options: Options) => unknown,
  own: Options,
): ContractEntry {
  return {
    name,
    className: (cls as unknown as { className: string }).className,
    cls: cls as never,
    make: (options) => new cls({ ...own, ...options }) as never,
  };
}

// Both decay what AdamW takes as well, which the suite wants to ask for itself.
const adamW = { weightDecay: 0 };

const table: readonly ContractEntry[] = [
  entry<NorMuonOptions>('NorMuon', NorMuon, {}),
  entry<NorMuonOptions>('NorMuon, paper, long axis', NorMuon, { scaling: 'paper', axis: 'long' }),
  entry<RootOptions>('Root', Root, { adamW }),
  entry<RootOptions>('Root, fitted, threshold every third step', Root, {
    coefficients: 'fitted',
    thresholdEvery: 3,
    adjustLearningRate: 'original',
    adamW,
  }),
  entry<AuONOptions>('AuON', AuON, {}),
  entry<AuONOptions>('AuON, repository', AuON, { variant: 'repository' }),
  entry<HybridAuONOptions>('HybridAuON', HybridAuON, {}),
  entry<TrionOptions>('Trion', Trion, { rank: 0.5 }),
  entry<TrionOptions>('Trion, DCT-III, 2-norm, Fourier transform', Trion, {
    rank: 2,
    basis: 'dct3',
    norm: 2,
    transform: 'fft',
  }),
  entry<DctAdamWOptions>('DctAdamW', DctAdamW, { rank: 0.5, adamW }),
  entry<DctAdamWOptions>('DctAdamW, 8-bit error, gap 2', DctAdamW, {
    rank: 2,
    errorBits: 8,
    updateGap: 2,
    adamW,
  }),
  entry<DctAdamWOptions>('DctAdamW, 4-bit error', DctAdamW, { rank: 3, errorBits: 4, adamW }),
  entry<DctAdamWOptions>('DctAdamW, no feedback', DctAdamW, {
    rank: 'full',
    errorFeedback: false,
    rotateStates: false,
    adamW,
  }),
];

for (const one of table) optimizerContract(one);
