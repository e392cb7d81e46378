import { AdamW, type AdamWOptions, Muon, type MuonOptions } from '@orth/muon';
import { type CommonOptions, type ContractEntry, optimizerContract } from './contract.js';

const muon = (name: string, own: MuonOptions): ContractEntry => ({
  name,
  className: 'OrthMuon',
  cls: Muon as never,
  make: (options?: CommonOptions) => new Muon({ ...own, ...options } as MuonOptions),
});

const table: readonly ContractEntry[] = [
  {
    name: 'AdamW',
    className: 'OrthAdamW',
    cls: AdamW as never,
    make: (options) => new AdamW(options as AdamWOptions),
  },
  muon('Muon', {}),
  muon('Muon, Polar Express, cautious decay, RMS matched', {
    adjustLearningRate: 'matchRmsAdamW',
    nesterov: false,
    orthogonalization: { method: 'polarExpress', steps: 4 },
    weightDecayMode: 'cautious',
  }),
];

for (const entry of table) optimizerContract(entry);
