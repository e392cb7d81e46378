import { checkOptions } from '@orth/backend';
import { AdamWMethod } from './adamWMethod.js';
import type { MatrixPlan } from './matrixMethod.js';
import { type MatrixView, matrixView } from './matrixView.js';
import {
  ADAM_W_OPTIONS,
  type AdamWHyperparameters,
  type AdamWSettings,
  checkGroups,
  type GroupMatch,
  MATRIX_OPTIONS,
  type MuonSettings,
  resolveAdamW,
  STEP_OPTIONS,
  type StepOptions,
  type VariableInfo,
} from './options.js';
import { OrthOptimizer, type Route } from './orthOptimizer.js';
import { hiddenMatrix, matches } from './routing.js';
import type { UpdateMethod } from './targets.js';

/** Options that every optimizer with a rule for hidden matrices has beside its hyperparameters. */
export interface MatrixOptimizerOptions<Group> extends StepOptions {
  /** Variables with options of their own; the first match wins, and the default rule routes the rest. */
  readonly groups?: readonly Group[];
  /** Hyperparameters for everything that is not a hidden matrix. */
  readonly adamW?: AdamWHyperparameters;
}

/** What tells one such optimizer from another. */
export interface MatrixRule<Settings extends MuonSettings> {
  /** Name in messages. */
  readonly label: string;
  /** Name in groups and descriptions. */
  readonly optimizer: string;
  /** Names of the hyperparameters. */
  readonly options: readonly string[];
  readonly method: UpdateMethod<MatrixPlan<Settings>>;
  /** Fills in defaults and checks every value. */
  readonly resolve: (caller: string, options: object, defaults?: Settings) => Settings;
  /** Hyperparameters of the auxiliary AdamW that differ from AdamW's own defaults. */
  readonly adamW?: AdamWHyperparameters;
  /**
   * Why a matrix goes to AdamW after all, or undefined.
   * @throws RangeError if the options do not fit the matrix
   */
  readonly decline?: (caller: string, view: MatrixView, settings: Settings) => string | undefined;
}

interface ResolvedGroup<Settings> extends GroupMatch {
  readonly optimizer: string;
  readonly matrix?: Settings;
  readonly adamW?: AdamWSettings;
}

const NO_MATRIX = { matrixShape: null, matrices: 0 } as const;

/**
 * Hidden matrices to one rule, everything else to AdamW, unless groups decide otherwise: what `Muon` and all its
 * relatives share.
 */
export abstract class MatrixOptimizer<
  Settings extends MuonSettings,
  Options extends MatrixOptimizerOptions<GroupMatch & { readonly optimizer: string }>,
> extends OrthOptimizer<Options> {
  private readonly adamW = new AdamWMethod();
  private readonly settings: Settings;
  private readonly adamWSettings: AdamWSettings;
  private readonly groups: readonly ResolvedGroup<Settings>[];

  protected constructor(
    options: Options,
    private readonly rule: MatrixRule<Settings>,
  ) {
    const { label, optimizer } = rule;
    checkOptions(label, options, [...rule.options, ...STEP_OPTIONS, 'groups', 'adamW']);
    super(label, options);
    this.settings = rule.resolve(label, options);
    const adamW = options.adamW ?? {};
    checkOptions(`${label}: adamW`, adamW, ADAM_W_OPTIONS);
    this.adamWSettings = resolveAdamW(`${label}: adamW`, { ...rule.adamW, ...adamW });
    const groups = options.groups ?? [];
    checkGroups(label, groups, {
      [optimizer]: [...rule.options, ...MATRIX_OPTIONS],
      adamW: ADAM_W_OPTIONS,
      frozen: [],
    });
    this.groups = groups.map((group, i) => {
      const caller = `${label}: groups[${i}]`;
      const { match } = group;
      if (group.optimizer === optimizer) {
        return { optimizer, match, matrix: rule.resolve(caller, group, this.settings) };
      }
      if (group.optimizer === 'frozen') return { optimizer: 'frozen', match };
      return {
        optimizer: 'adamW',
        match,
        adamW: resolveAdamW(caller, group, this.adamWSettings),
      };
    });
  }

  protected override route(variable: VariableInfo): Route {
    const at = this.groups.findIndex((group) => matches(group, variable));
    const group = this.groups[at];
    const reason = `groups[${at}]`;
    if (group?.optimizer === 'frozen') return { optimizer: 'frozen', ...NO_MATRIX, reason };
    if (group?.adamW) return this.adamWRoute(group.adamW, reason);
    if (group?.matrix) {
      const caller = `${this.rule.label}: ${variable.name}`;
      const view = matrixView(caller, variable.shape, group.matrix);
      return this.matrixRoute(variable, { settings: group.matrix, view }, reason);
    }
    const found = hiddenMatrix(variable, this.settings);
    if (!('view' in found)) return this.adamWRoute(this.adamWSettings, found.reason);
    return this.matrixRoute(variable, { settings: this.settings, view: found.view }, found.reason);
  }

  private adamWRoute(plan: AdamWSettings, reason: string): Route {
    return { optimizer: 'adamW', method: this.adamW, plan, ...NO_MATRIX, reason };
  }

  private matrixRoute({ name }: VariableInfo, plan: MatrixPlan<Settings>, reason: string): Route {
    const { optimizer, label, method, decline } = this.rule;
    const declined = decline?.(`${label}: ${name}`, plan.view, plan.settings);
    if (declined !== undefined) return this.adamWRoute(this.adamWSettings, declined);
    const { rows, columns, pieces } = plan.view;
    const equal = pieces.length === 1 ? pieces[0] : undefined;
    return {
      optimizer,
      method: method as never,
      plan,
      matrixShape: equal ? [equal.rows, equal.columns] : [rows, columns],
      matrices: pieces.reduce((sum, { count }) => sum + count, 0),
      reason,
    };
  }
}
