import { type AdamWState, adamWStep } from './adamWUpdate.js';
import type { AdamWSettings, VariableInfo } from './options.js';
import { stepValue } from './stepValue.js';
import {
  NOT_NEGATIVE,
  type SlotRule,
  type SlotShapes,
  type UnitInput,
  type UnitOutput,
  type UpdateMethod,
} from './targets.js';

/** AdamW over flat tensors: elementwise, so that variables of any shape share one pass. */
export class AdamWMethod implements UpdateMethod<AdamWSettings> {
  readonly name = 'adamW';
  readonly countsUpdates = true;
  private readonly keys = new Map<AdamWSettings, string>();

  slots({ shape }: VariableInfo): SlotShapes {
    return { firstMoment: shape, secondMoment: shape };
  }

  slotRule(slot: string): SlotRule | undefined {
    return slot === 'secondMoment' ? NOT_NEGATIVE : undefined;
  }

  unitKey(_: VariableInfo, settings: AdamWSettings): string {
    const key = this.keys.get(settings) ?? `group ${this.keys.size}`;
    this.keys.set(settings, key);
    return key;
  }

  update(units: readonly UnitInput<AdamWSettings>[], step: number): UnitOutput[] {
    return units.map(({ members, gradient, weights, state, update }) => {
      const settings = members[0]!.plan;
      const next = adamWStep(weights, gradient, state as unknown as AdamWState, {
        ...settings,
        step: update,
        learningRate: stepValue('learningRate', settings.learningRate, step),
        weightDecay: stepValue('weightDecay', settings.weightDecay, step),
      });
      const { firstMoment, secondMoment } = next;
      return { weights: next.weights, state: { firstMoment, secondMoment } };
    });
  }
}
