import { checkInteger, checkOptions, seededRandom } from '@orth/backend';
import { checkFunction } from '../checks.js';

/** What the training of one member is given. */
export interface MemberContext<M> {
  /** Which member, from 0. */
  readonly index: number;
  /** Seed for its initial weights. */
  readonly initializationSeed: number;
  /** Seed for the order of its data. */
  readonly orderSeed: number;
  /** The member before it, where members are trained one after the other: the teacher of a chain. */
  readonly previous: M | undefined;
}

/** Options of {@link trainMembers}. */
export interface TrainMembersOptions<M> {
  /** Members K, integer >= 1. */
  readonly members: number;
  /** Trains one member: any function, in this thread, in a worker, or on another machine. */
  train(context: MemberContext<M>): M | Promise<M>;
  /** Seed of the members' seeds. Default 0 */
  readonly seed?: number;
  /** Members at once, integer >= 1; more than 1 helps only if `train` hands its work to workers. Default 1 */
  readonly concurrency?: number;
  /** Members trained before, which are not trained again: the first ones. Default none */
  readonly done?: readonly M[];
  /** Called when a member is ready: save it here, and an interrupted run loses nothing. */
  onMember?(member: M, index: number): void | Promise<void>;
  /** Stops before the next member. */
  readonly signal?: AbortSignal;
}

const KNOWN = ['members', 'train', 'seed', 'concurrency', 'done', 'onMember', 'signal'];

/**
 * Trains the members of an ensemble with any training function: each gets a seed for its weights and one for the order of
 * its data, which depend on `seed` and its index alone.
 *
 * @returns the members, in order
 * @throws TypeError or RangeError for a wrong option; the first error of `train` or `onMember`, after which no further member
 *   is started; the signal's reason if it is aborted
 * @example
 * const models = await trainMembers({
 *   members: 5,
 *   train: ({ initializationSeed, orderSeed }) => trainModel(initializationSeed, orderSeed),
 * });
 * @see Kim et al. 2025, "Pre-training under infinite compute": members differ in initialisation and data order
 */
export async function trainMembers<M>(options: TrainMembersOptions<M>): Promise<M[]> {
  const caller = 'trainMembers';
  checkOptions(caller, options, KNOWN);
  const { members, train, seed = 0, concurrency = 1, done = [], onMember, signal } = options;
  checkInteger(caller, 'members', members, { min: 1 });
  checkInteger(caller, 'seed', seed);
  checkInteger(caller, 'concurrency', concurrency, { min: 1 });
  checkFunction(caller, 'train', train);
  if (onMember !== undefined) checkFunction(caller, 'onMember', onMember);
  checkInteger(caller, 'done.length', done.length, { max: members });
  const results: M[] = [...done];
  const source = seededRandom(seed);
  let next = done.length;
  let failed = false;
  const work = async () => {
    while (next < members && !failed) {
      const index = next++;
      try {
        signal?.throwIfAborted();
        const random = source.fork(index);
        const member = await train({
          index,
          initializationSeed: random.integer(0, 2 ** 31 - 1),
          orderSeed: random.integer(0, 2 ** 31 - 1),
          previous: concurrency === 1 ? results[index - 1] : undefined,
        });
        results[index] = member;
        await onMember?.(member, index);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const settled = await Promise.allSettled(Array.from({ length: concurrency }, work));
  for (const outcome of settled) if (outcome.status === 'rejected') throw outcome.reason;
  return results;
}
