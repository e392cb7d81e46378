import { checkOptions } from '@orth/backend';
import { serialization } from '@tensorflow/tfjs-core';
import { AdamWMethod } from './adamWMethod.js';
import { matrixView } from './matrixView.js';
import { MuonMethod, type MuonPlan } from './muonMethod.js';
import {
  ADAM_W_OPTIONS,
  checkGroups,
  MATRIX_OPTIONS,
  MUON_OPTIONS,
  type MuonOptions,
  type MuonSettings,
  type ParameterGroup,
  resolveAdamW,
  resolveMuon,
  STEP_OPTIONS,
  type VariableInfo,
} from './options.js';
import { OrthOptimizer, type Route } from './orthOptimizer.js';
import { hiddenMatrix, matches } from './routing.js';

/**
 * Muon, momentum orthogonalised by Newton–Schulz, for hidden matrices, and AdamW for everything else, as a tfjs
 * optimizer: `minimize`, `applyGradients`, `model.compile`.
 *
 * By default Muon takes a variable with at least two axes longer than 1 whose two sides are at least 4, at most 128
 * times as long as wide, and whose name does not speak of an embedding or output head (`embed`, `logits`, `head`);
 * `groups` decide otherwise, and `describeGroups` tells what was decided. All matrices of one shape are orthogonalised
 * in one batched call. State: one number a weight for Muon, two for AdamW.
 *
 * @example
 * const optimizer = new Muon({ learningRate: 0.02, adamW: { learningRate: 3e-3 } });
 * optimizer.minimize(() => loss());
 * @see {@link muonUpdate} for the formula; Jordan et al. 2024
 */
export class Muon extends OrthOptimizer<MuonOptions> {
  /** Name in saved models. */
  static get className(): string {
    return 'OrthMuon';
  }

  private readonly muon = new MuonMethod();
  private readonly adamW = new AdamWMethod();
  private readonly settings;
  private readonly adamWSettings;
  private readonly groups;

  /**
   * @param options - see {@link MuonOptions}
   * @throws TypeError or RangeError for an unknown option or a value out of range
   */
  constructor(options: MuonOptions = {}) {
    checkOptions('Muon', options, [...MUON_OPTIONS, ...STEP_OPTIONS, 'groups', 'adamW']);
    super('Muon', options);
    this.settings = resolveMuon('Muon', options);
    const adamW = options.adamW ?? {};
    checkOptions('Muon: adamW', adamW, ADAM_W_OPTIONS);
    this.adamWSettings = resolveAdamW('Muon: adamW', adamW);
    const groups = options.groups ?? [];
    checkGroups('Muon', groups, {
      muon: [...MUON_OPTIONS, ...MATRIX_OPTIONS],
      adamW: ADAM_W_OPTIONS,
      frozen: [],
    });
    this.groups = groups.map((group, i) => this.resolveGroup(group, `Muon: groups[${i}]`));
  }

  private resolveGroup(group: ParameterGroup, caller: string) {
    const { optimizer, match } = group;
    if (optimizer === 'muon') {
      return { optimizer, match, settings: resolveMuon(caller, group, this.settings) };
    }
    if (optimizer === 'frozen') return { optimizer, match };
    return { optimizer, match, settings: resolveAdamW(caller, group, this.adamWSettings) };
  }

  protected override route(variable: VariableInfo): Route {
    const at = this.groups.findIndex((group) => matches(group, variable));
    const group = this.groups[at];
    const reason = `groups[${at}]`;
    const none = { matrixShape: null, matrices: 0 };
    if (group?.optimizer === 'frozen') return { optimizer: 'frozen', ...none, reason };
    if (group?.optimizer === 'adamW') {
      return { optimizer: 'adamW', method: this.adamW, plan: group.settings, ...none, reason };
    }
    if (group) {
      const view = matrixView(`Muon: ${variable.name}`, variable.shape, group.settings);
      return this.matrixRoute({ settings: group.settings, view }, reason);
    }
    const rule = hiddenMatrix(variable, this.settings);
    if ('view' in rule) {
      return this.matrixRoute({ settings: this.settings, view: rule.view }, rule.reason);
    }
    const plan = this.adamWSettings;
    return { optimizer: 'adamW', method: this.adamW, plan, ...none, reason: rule.reason };
  }

  private matrixRoute(plan: MuonPlan & { settings: MuonSettings }, reason: string): Route {
    const { rows, columns, pieces } = plan.view;
    return {
      optimizer: 'muon',
      method: this.muon as never,
      plan,
      matrixShape: [rows, columns],
      matrices: pieces.reduce((sum, { count }) => sum + count, 0),
      reason,
    };
  }
}

serialization.registerClass(Muon);
