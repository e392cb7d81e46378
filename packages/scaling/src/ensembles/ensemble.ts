import { CheckpointError, checkTensor } from '@orth/backend';
import { type Tensor, tidy } from '@tensorflow/tfjs-core';
import { checkFunction } from '../checks.js';
import {
  accumulate,
  type Combination,
  type CombineOptions,
  combinationOf,
  finish,
} from './combine.js';

/** What an ensemble is made of: anything that gives logits. */
export interface EnsembleMember {
  /** Logits, `[…, V]`, which the caller disposes. */
  predict(x: Tensor): Tensor;
  /** The member as plain JSON, where the ensemble is to be saved. */
  save?(): unknown;
  dispose?(): void;
}

const FORMAT = 'orth/ensemble';

/** A saved ensemble: plain JSON, if the members' own states are. */
export interface EnsembleState {
  readonly format: typeof FORMAT;
  readonly version: 1;
  readonly combine: Combination;
  /** What the members' `save` gave. */
  readonly members: readonly unknown[];
}

/**
 * Several models as one: their logits (or probabilities) averaged. Itself a member, or a teacher for {@link distill}.
 *
 * @example
 * const ensemble = new Ensemble();
 * for (const model of await trainMembers({ members: 5, train })) ensemble.add(model);
 * const logits = ensemble.predict(x);
 */
export class Ensemble implements EnsembleMember {
  private readonly list: EnsembleMember[] = [];
  private readonly combine: Combination;

  /**
   * An ensemble without members.
   * @throws TypeError or RangeError for a wrong option
   */
  constructor(options: CombineOptions = {}) {
    this.combine = combinationOf('Ensemble', options);
  }

  /** How many members there are. */
  get size(): number {
    return this.list.length;
  }

  /** The members, in the order they were added. */
  get members(): readonly EnsembleMember[] {
    return this.list;
  }

  /**
   * Adds a member, which from now on belongs to the ensemble: `dispose` disposes it.
   * @returns this ensemble
   * @throws TypeError if it has no `predict`
   */
  add(member: EnsembleMember): this {
    checkFunction('Ensemble.add', 'member.predict', member?.predict);
    this.list.push(member);
    return this;
  }

  /**
   * The combined logits, as members give them; one member's tensor at a time is in memory beside the result.
   * @throws RangeError without members, or if the members' shapes differ
   */
  predict(x: Tensor): Tensor {
    const caller = 'Ensemble.predict';
    const { list, combine } = this;
    if (list.length === 0) throw new RangeError(`${caller}: size must be >= 1, got 0`);
    return tidy(() => {
      let gathered: Tensor | undefined;
      for (const [i, member] of list.entries()) {
        const before = gathered;
        gathered = tidy(() => {
          const logits = member.predict(x);
          const name = `logits of member ${i}`;
          checkTensor(caller, name, logits, before ? { shape: before.shape } : { minRank: 1 });
          return accumulate(combine, before, logits);
        });
        before?.dispose();
      }
      return finish(combine, gathered!, list.length);
    });
  }

  /**
   * The ensemble with what its members' `save` give.
   * @throws TypeError if a member has no `save`
   */
  async save(): Promise<EnsembleState> {
    const members: unknown[] = [];
    for (const [i, member] of this.list.entries()) {
      checkFunction('Ensemble.save', `members[${i}].save`, member.save);
      members.push(await member.save!());
    }
    return { format: FORMAT, version: 1, combine: this.combine, members };
  }

  /**
   * The ensemble that {@link save} wrote.
   * @param restore - makes a member of what its `save` gave
   * @throws CheckpointError if `state` is damaged or foreign; whatever `restore` throws, with members made so far disposed
   */
  static async load(
    state: EnsembleState,
    restore: (member: unknown, index: number) => EnsembleMember | Promise<EnsembleMember>,
  ): Promise<Ensemble> {
    const caller = 'Ensemble.load';
    checkFunction(caller, 'restore', restore);
    const { format, version, combine, members } = (state ?? {}) as Partial<EnsembleState>;
    const sound =
      format === FORMAT && version === 1 && (combine === 'logits' || combine === 'probs');
    if (!sound || !Array.isArray(members)) {
      throw new CheckpointError(`${caller}: state must be a saved ensemble, got ${format}`);
    }
    const ensemble = new Ensemble({ combine });
    try {
      for (const [i, member] of members.entries()) ensemble.add(await restore(member, i));
    } catch (error) {
      ensemble.dispose();
      throw error;
    }
    return ensemble;
  }

  /** Disposes the members and forgets them. */
  dispose(): void {
    for (const member of this.list.splice(0)) member.dispose?.();
  }
}
