/** Policies out of their saved state. */
import { CheckpointError } from '@orth/backend';
import type { Policy, PolicyState } from '../policy.js';
import { fromPlain, SavedData } from '../stateCodec.js';
import { bag } from './bag.js';
import type { BasePolicy } from './basePolicy.js';
import { eeNet } from './eeNet.js';
import { fastCB, neuFastCB, neuSquareCB, squareCB } from './gapWeighting.js';
import { epsilonGreedy, neuralEpsilon, softmax } from './greedy.js';
import { linTS } from './linTS.js';
import { linUCB } from './linUCB.js';
import { neuralTS, neuralUCB } from './neuralConfidence.js';
import { regCB } from './regCB.js';
import { uniform } from './uniform.js';

const POLICIES = {
  bag,
  eeNet,
  epsilonGreedy,
  fastCB,
  linTS,
  linUCB,
  neuFastCB,
  neuSquareCB,
  neuralEpsilon,
  neuralTS,
  neuralUCB,
  regCB,
  softmax,
  squareCB,
  uniform,
};

/**
 * The policy that `toJSON` saved: it goes on bit for bit as the one that was saved would.
 *
 * @param state - what `toJSON` returned, also through JSON text
 * @throws CheckpointError if it is not such a state, or damaged; nothing else is touched
 */
export function policyFromJSON(state: PolicyState): Policy {
  const caller = 'policyFromJSON';
  const { format, version, policy, options, data } = (state ?? {}) as PolicyState;
  if (format !== 'orth-bandits-policy') {
    throw new CheckpointError(`${caller}: state must have the format 'orth-bandits-policy'`);
  }
  if (version !== 1) {
    throw new CheckpointError(`${caller}: state.version must be 1, got ${String(version)}`);
  }
  if (!Object.hasOwn(POLICIES, policy)) {
    const known = Object.keys(POLICIES).join(', ');
    throw new CheckpointError(
      `${caller}: state.policy must be one of ${known}, got ${String(policy)}`,
    );
  }
  const create: (options: never) => Policy = POLICIES[policy as keyof typeof POLICIES];
  try {
    const made = create(fromPlain(options) as never);
    (made as unknown as BasePolicy).restore(new SavedData(caller, data));
    return made;
  } catch (error) {
    if (error instanceof CheckpointError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new CheckpointError(`${caller}: state must be that of a ${policy}: ${reason}`);
  }
}
