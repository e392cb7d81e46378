export { type Corpus, loadMobyDick, splitText } from './data.js';
export { Gpt } from './model.js';
export { type ModelShape, parseSize, SIZES, type SizeName } from './modelShape.js';
export {
  OPTIMIZER_NAMES,
  OPTIMIZERS,
  type OptimizerEntry,
  type OptimizerName,
  type RaceOptimizer,
} from './optimizers.js';
export { type RaceEvent, type RaceOptions, runRace } from './race.js';
export type { ContestantResult, History, RaceResult, ValidationPoint } from './result.js';
export { DEFAULTS, type RaceSettings, type RaceSettingsOptions, raceSettings } from './settings.js';
