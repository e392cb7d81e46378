/** Spectral transforms and solvers against NumPy, Tsit5 against SciPy. */
import type { Bench } from '../harness/bench.js';
import { initialValueCases } from '../problems/initialValue.js';
import { fftCases, navierStokesCases } from '../problems/spectral.js';

export const bench: Bench = {
  name: 'operators',
  description:
    'two-dimensional transforms and pseudo-spectral Navier-Stokes steps against NumPy, Tsit5 against SciPy',
  cases: (context) => [
    ...fftCases(context),
    ...navierStokesCases(context),
    ...initialValueCases(context),
  ],
};
