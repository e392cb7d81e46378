/** The optimizers that the processes run, by name; one with every kind of state. */
import {
  AdamW,
  AuON,
  DctAdamW,
  HybridAuON,
  Muon,
  NorMuon,
  type OrthOptimizer,
  Root,
  type Schedule,
  type StepOptions,
  Trion,
} from '../../src/index.js';

interface Options {
  readonly learningRate?: Schedule;
  readonly weightDecay?: number;
}

const adamW = { learningRate: 0.01 };

export const OPTIMIZERS: Record<string, (options?: Options) => OrthOptimizer<StepOptions>> = {
  AdamW: (options) => new AdamW(options),
  Muon: (options) => new Muon({ ...options, adamW }),
  NorMuon: (options) => new NorMuon({ ...options, adamW }),
  Root: (options) => new Root({ ...options, thresholdEvery: 3, adamW }),
  AuON: (options) => new AuON({ ...options, adamW }),
  HybridAuON: (options) => new HybridAuON({ ...options, adamW }),
  Trion: (options) => new Trion({ ...options, rank: 0.5, adamW }),
  DctAdamW: (options) => new DctAdamW({ ...options, rank: 0.5, errorBits: 8, updateGap: 3, adamW }),
};
