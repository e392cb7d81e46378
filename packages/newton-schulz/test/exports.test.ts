import { expect, it } from 'vitest';
import * as api from '../src/index.js';

it('exports exactly these values', () => {
  expect(Object.keys(api).sort()).toMatchInlineSnapshot(`
    [
      "ROOT_COEFFICIENTS",
      "SCHEDULES",
      "adaptiveCoefficients",
      "bestRestarts",
      "cansCoefficients",
      "checkOrthogonalizeOptions",
      "coefficientError",
      "dct",
      "dctMatrix",
      "exactPolar",
      "exactPolarAsync",
      "fitCoefficients",
      "makhoulOrder",
      "mapSingularValues",
      "newtonSchulzFlops",
      "oddMinimaxQuintic",
      "orthogonalityError",
      "orthogonalize",
      "polar",
      "polarError",
      "polarExpressCoefficients",
      "restartStability",
      "rootCoefficients",
      "selectColumns",
      "singularValueSummary",
      "singularValues",
      "spectralError",
    ]
  `);
});
