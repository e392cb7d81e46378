/**
 * Vowpal Wabbit's decision-service JSON, one joined decision a line: `vw --dsjson --cb_explore_adf -d FILE` reads what is
 * written here, and what Personalizer and VW services wrote can be read.
 *
 * Costs there are negative rewards; `_labelIndex` counts from 0, `_label_Action` and the ranking `a` from 1, and `p` holds
 * the probabilities in the order of `a`.
 */
import { checkOneOf, checkOptions } from '@orth/backend';
import type { Stream } from '../offPolicy/evaluateOffPolicy.js';
import type { Feedback } from '../policy.js';
import {
  isFeatured,
  type NamedFeatures,
  type PlainAction,
  type PlainFeatures,
} from '../service/features.js';
import { LogLineError } from './events.js';
import type { LoggedDecision } from './interactions.js';

/** Options of the dsjson functions. */
export interface DsjsonOptions {
  /** What `reward` means on our side: `'loss'` is VW's cost itself, `'reward'` its negative. Default `'reward'` */
  readonly feedback?: Feedback;
}

type Json = Record<string, unknown>;

const isObject = (x: unknown): x is Json =>
  typeof x === 'object' && x !== null && !Array.isArray(x);

function signOf(caller: string, options: DsjsonOptions): number {
  checkOptions(caller, options, ['feedback']);
  const { feedback = 'reward' } = options;
  checkOneOf(caller, 'feedback', feedback, ['reward', 'loss']);
  return feedback === 'reward' ? -1 : 1;
}

/** Namespace of the context's features, and of an action's. */
const SHARED = 'shared';
const OWN = 'action';

function actionFeatures(action: PlainAction): PlainFeatures {
  if (typeof action === 'string' || typeof action === 'number') return { action: String(action) };
  return isFeatured(action) ? action.features : (action as PlainFeatures);
}

/**
 * A decision as a line of dsjson. Features of the context come in the namespace `shared`, those of an action in `action`;
 * a label becomes the feature `action=<label>`.
 *
 * @returns the line, without its end
 * @throws RangeError for a decision without actions (number them: `actions: [0, 1, 2]`), or whose probabilities are not
 *   one for each
 * @example
 * for await (const decision of readDecisions(readLines('decisions.jsonl'))) {
 *   out.write(`${formatDsjson(decision)}\n`);
 * }
 */
export function formatDsjson(decision: LoggedDecision, options: DsjsonOptions = {}): string {
  const caller = 'formatDsjson';
  const sign = signOf(caller, options);
  const { decisionId, time, context, action, probability, reward, weight } = decision;
  const { actions = decision.probabilities?.map((_, a) => a), probabilities } = decision;
  if (!actions || !(action in actions)) {
    throw new RangeError(`${caller}: decision.actions must hold the action taken, ${action}`);
  }
  if (probabilities && probabilities.length !== actions.length) {
    throw new RangeError(
      `${caller}: decision.probabilities must have length ${actions.length}, got ${probabilities.length}`,
    );
  }
  const cost = sign * reward + 0;
  const ranking = [action, ...actions.keys()].filter((a, i) => i === 0 || a !== action);
  return JSON.stringify({
    _label_cost: cost,
    _label_probability: probability,
    _label_Action: action + 1,
    _labelIndex: action,
    o: [{ v: -cost + 0, EventId: decisionId, ActionTaken: true }],
    ...(time !== undefined && { Timestamp: new Date(time).toISOString() }),
    Version: '1',
    EventId: decisionId,
    a: ranking.map((a) => a + 1),
    c: {
      ...(context && { [SHARED]: context }),
      _multi: actions.map((each) => ({ [OWN]: actionFeatures(each) })),
    },
    p: probabilities ? ranking.map((a) => probabilities[a]!) : [probability],
    ...(weight !== undefined && weight > 1 && { pdrop: 1 - 1 / weight }),
  });
}

/** Flattens namespaces; a single one that holds numbers by place stays so, a single one by name keeps its names. */
function readFeatures(namespaces: Json): PlainFeatures | undefined {
  const entries = Object.entries(namespaces).filter(([name]) => !name.startsWith('_'));
  if (entries.length === 0) return undefined;
  const [first] = entries;
  if (entries.length === 1 && Array.isArray(first![1]) && first![1].every(Number.isFinite)) {
    return first![1] as number[];
  }
  const named: Record<string, number | string | boolean> = {};
  const flatten = (path: string, value: unknown) => {
    if (typeof value === 'number' || typeof value === 'string' || typeof value === 'boolean') {
      named[path] = value;
    } else if (typeof value === 'object' && value !== null) {
      for (const [key, each] of Object.entries(value)) flatten(`${path}.${key}`, each);
    }
  };
  const only = entries.length === 1 && isObject(first![1]);
  for (const [name, value] of only ? Object.entries(first![1] as Json) : entries) {
    flatten(name, value);
  }
  return named;
}

const hasNumbers = (x: unknown): x is number[] => Array.isArray(x) && x.every(Number.isFinite);

/**
 * Reads a line of dsjson.
 *
 * A context or action with one namespace keeps its features' names, or their order if they are an array; several
 * namespaces give names such as `namespace.feature`. `pdrop` becomes the weight 1/(1 − pdrop).
 *
 * @throws SyntaxError for what is no JSON; TypeError or RangeError for what is no joined decision
 */
export function parseDsjson(line: string, options: DsjsonOptions = {}): LoggedDecision {
  const caller = 'parseDsjson';
  const sign = signOf(caller, options);
  const json: unknown = JSON.parse(line);
  const fail = (rule: string): never => {
    throw new RangeError(`${caller}: line must ${rule}`);
  };
  if (!isObject(json) || !isObject(json.c) || !Array.isArray(json.c._multi)) {
    return fail('hold a decision with c._multi');
  }
  const multi: unknown[] = json.c._multi;
  const K = multi.length;
  const { a: ranking, p, _label_cost: cost, _label_probability: probability, pdrop = 0 } = json;
  const taken =
    json._labelIndex ??
    (typeof json._label_Action === 'number' ? json._label_Action - 1 : undefined);
  if (!Number.isInteger(taken) || (taken as number) < 0 || (taken as number) >= K) {
    return fail(`name one of its ${K} actions by _labelIndex, got ${String(taken)}`);
  }
  if (typeof cost !== 'number' || !Number.isFinite(cost)) fail('have a finite _label_cost');
  if (typeof probability !== 'number' || !(probability > 0 && probability <= 1)) {
    fail(`have a _label_probability in (0, 1], got ${String(probability)}`);
  }
  if (typeof pdrop !== 'number' || !(pdrop >= 0 && pdrop < 1)) {
    return fail(`have pdrop in [0, 1), got ${String(pdrop)}`);
  }
  let probabilities: number[] | undefined;
  if (hasNumbers(ranking) && hasNumbers(p) && p.length === K && ranking.length === K) {
    probabilities = new Array<number>(K).fill(0);
    for (const [i, action] of ranking.entries()) {
      if (!(action >= 1 && action <= K)) fail(`rank actions 1 to ${K}, got ${action}`);
      probabilities[action - 1] = p[i]!;
    }
  }
  const context = readFeatures(json.c);
  const time = typeof json.Timestamp === 'string' ? Date.parse(json.Timestamp) : Number.NaN;
  return {
    decisionId: typeof json.EventId === 'string' ? json.EventId : '',
    ...(Number.isFinite(time) && { time }),
    ...(context && { context }),
    actions: multi.map((each): NamedFeatures | readonly number[] =>
      isObject(each) ? (readFeatures(each) ?? {}) : {},
    ),
    action: taken as number,
    probability: probability as number,
    ...(probabilities && { probabilities }),
    reward: sign * (cost as number) + 0,
    ...(pdrop > 0 && { weight: 1 / (1 - pdrop) }),
  };
}

/**
 * The decisions of a dsjson file, as a stream. Empty lines and rewards that were never joined to a decision
 * (`{"RewardValue": …}`) are left out.
 *
 * @throws LogLineError that names the line
 * @example
 * for await (const decision of readDsjson(readLines('vw.json'))) bandit.learnLogged(decision);
 */
export async function* readDsjson(
  lines: Stream<string>,
  options: DsjsonOptions = {},
): AsyncGenerator<LoggedDecision> {
  signOf('readDsjson', options);
  let number = 0;
  for await (const line of lines) {
    number++;
    const text = line.trim();
    if (text === '' || (text.includes('"RewardValue"') && !text.includes('"_multi"'))) continue;
    try {
      yield parseDsjson(text, options);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new LogLineError(`readDsjson: line ${number}: ${reason}`, number);
    }
  }
}
