/**
 * The published coefficient tables. A row `[a, b, c]` is one step `p(s) = a s + b s³ + c s⁵` on singular values, `[a, b]`
 * one without the fifth power.
 */

/** One step's coefficients: `[a, b, c]`, or `[a, b]` for `c = 0`. */
export type CoefficientRow = readonly number[];

/** How a matrix is scaled before the first step; see {@link OrthogonalizeOptions.normalization}. */
export type Normalization = 'frobenius' | 'schatten4' | 'aol' | 'spectral' | 'none';

/** A published schedule of steps. */
export interface Schedule {
  /** One row a step. */
  readonly coefficients: readonly CoefficientRow[];
  /** The start that the rows were fitted for. */
  readonly normalization: Normalization;
  /** The norm is multiplied by this before dividing, so that rounding cannot leave the fitted interval. */
  readonly safety: number;
}

/** Name of a published schedule. */
export type ScheduleName =
  | 'muon'
  | 'quintic'
  | 'polarExpress'
  | 'cans'
  | 'cubic5'
  | 'deepseekV4'
  | 'classic5'
  | 'classic3'
  | 'simple'
  | 'aol';

const MUON = [3.4445, -4.775, 2.0315];
const SIMPLE = [2, -1.5, 0.5];

function schedule(
  coefficients: readonly CoefficientRow[],
  normalization: Normalization = 'frobenius',
  safety = 1,
): Schedule {
  return { coefficients, normalization, safety };
}

/**
 * Every schedule by name. In brackets: range of the composed map over singular values in [0.01, 1] after normalisation
 * (checked in the test).
 *
 * - `muon`: Jordan et al. 2024, Muon [0.68, 1.14]
 * - `quintic`: You Jiacheng 2025, tuned for five steps [0.97, 1.04]
 * - `polarExpress`: Amsel et al. 2025, arXiv 2505.16932, for [0.001, 1] with 2 % safety [0.85, 1.15]
 * - `cans`: Grishina et al. 2025, arXiv 2506.10935 [0.88, 1.12]
 * - `cubic5`: arXiv 2606.00371, third degree only, hence one product less a step [0.77, 1.31]
 * - `deepseekV4`: eight `muon` steps, then two of `simple` [1.00, 1.01]
 * - `classic5`, `classic3`: Taylor steps of Björck and Bowie 1971; safe and slow (give them more `steps`)
 * - `simple`: converges to 1 from everywhere in (0, √2) [1.00, 1.00]
 * - `aol`: Boissin et al. 2025, arXiv 2512.04632, four steps from the `aol` start
 */
export const SCHEDULES: Readonly<Record<ScheduleName, Schedule>> = {
  muon: schedule(Array.from({ length: 5 }, () => MUON)),
  quintic: schedule([
    [4.0848, -6.8946, 2.927],
    [3.9505, -6.3029, 2.6377],
    [3.7418, -5.5913, 2.3037],
    [2.8769, -3.1427, 1.2046],
    [2.8366, -3.0525, 1.2012],
  ]),
  polarExpress: schedule(
    [
      [8.156554524902461, -22.48329292557795, 15.878769915207462],
      [4.042929935166739, -2.808917465908714, 0.5000178451051316],
      [3.8916678022926607, -2.772484153217685, 0.5060648178503393],
      [3.285753657755655, -2.3681294933425376, 0.46449024233003106],
      [2.3465413258596377, -1.7097828382687081, 0.42323551169305323],
    ],
    'frobenius',
    1.02,
  ),
  cans: schedule([
    [8.4703, -25.1081, 18.6293],
    [4.1828, -3.1087, 0.5806],
    [3.9619, -2.9541, 0.563],
    [3.2866, -2.4647, 0.5074],
    [2.2737, -1.6447, 0.4162],
  ]),
  cubic5: schedule([
    [3.3656576, -3.3420992],
    [2.5744352, -1.4957376],
    [2.5368962, -1.431257],
    [2.4418906, -1.276404],
    [2.2230472, -0.963065],
  ]),
  deepseekV4: schedule([...Array.from({ length: 8 }, () => MUON), SIMPLE, SIMPLE]),
  classic5: schedule(Array.from({ length: 5 }, () => [15 / 8, -10 / 8, 3 / 8])),
  classic3: schedule(Array.from({ length: 5 }, () => [3 / 2, -1 / 2])),
  simple: schedule(Array.from({ length: 12 }, () => SIMPLE)),
  // The table of the 2025 paper. The one starting 4.0098, also in circulation, maps singular values near 1 to −1.
  aol: schedule(
    [
      [4.6051, -9.6552, 5.6769],
      [4.7505, -6.0861, 2.179],
      [2.7763, -2.319, 0.5523],
      [2.4231, -2.2861, 0.8193],
    ],
    'aol',
  ),
};
