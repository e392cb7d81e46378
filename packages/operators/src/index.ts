// Transforms

// Navier–Stokes
export {
  DivergedError,
  HostNavierStokes2D,
  type HostNavierStokesOptions,
  type HostSolution,
  type SolveOptions,
} from './navierStokes/hostNavierStokes2D.js';
export {
  type GaussianRandomFieldOptions,
  gaussianRandomField,
  type KolmogorovForcingOptions,
  kolmogorovForcing,
  type McWilliamsOptions,
  mcwilliamsVorticity,
  type TaylorGreenOptions,
  taylorGreen,
} from './navierStokes/initialData.js';
export {
  NavierStokes2D,
  type NavierStokesOptions,
  type Solution,
} from './navierStokes/navierStokes2D.js';
export type { Dealias, NavierStokesPhysics } from './navierStokes/physics.js';
export {
  type Residual,
  type ResidualMeasure,
  type ResidualOptions,
  type ResidualPhysics,
  residual,
  type TimeScheme,
} from './navierStokes/residual.js';
export {
  type BochnerOptions,
  bochnerNorm,
  relativeError,
  type SobolevOptions,
  sobolevNorm,
} from './navierStokes/sobolev.js';
export type { Stepper } from './navierStokes/steppers.js';
export { type HostSpectrum, RealFft2D } from './spectral/hostFft.js';
export { type Modes, type SpectralConvOptions, spectralConv } from './spectral/spectralConv.js';
export {
  type ComplexTensor,
  fft2,
  fft3,
  ifft2,
  ifft3,
  irfft2,
  irfft3,
  rfft2,
  rfft3,
} from './spectral/transforms.js';
