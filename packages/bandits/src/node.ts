export { DecisionLog, type DecisionLogOptions } from './node/decisionLog.js';
export { readLines } from './node/lines.js';
export {
  type OpenBanditOptions,
  type OpenedBandit,
  openBandit,
  type Recovery,
} from './node/openBandit.js';
export { loadState, saveState } from './node/stateFile.js';
