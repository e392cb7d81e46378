// Transforms

export type { Activation } from './fno/activation.js';
// Neural operator
export { type OneCycle, oneCycle } from './fno/adam.js';
export {
  type OutputLayer,
  type SpectralOutputOptions,
  spectralOutput,
  widenModes,
} from './fno/outputOperator.js';
export { type Refinement, type RefineOptions, refine } from './fno/refine.js';
export { SFNO, STFNO, type STFNOOptions, type STFNOState } from './fno/stfno.js';
export type { TensorState } from './fno/tensorState.js';
export {
  STFNOTrainer,
  type STFNOTrainingStep,
  type TrainerOptions,
  type TrainerState,
} from './fno/trainer.js';
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
// Neural differential equations
export type { Tolerances } from './ode/combination.js';
export { type ControllerOptions, StepController } from './ode/controller.js';
export { type OdeFailure, OdeSolveError } from './ode/errors.js';
export { eulerStep, rk4Step } from './ode/fixedMethods.js';
export { type InitialStepOptions, initialStep } from './ode/initialStep.js';
export { NeuralODE, type NeuralOdeOptions } from './ode/neuralOde.js';
export { NeuralSDE, type NeuralSdeOptions } from './ode/neuralSde.js';
export { type OdeSolution, odeSolve, odeSolveSync } from './ode/odeSolve.js';
export {
  odeRegularization,
  type RegularizationOptions,
  type RegularizerAggregate,
  type RegularizerKind,
  regularizationSchedule,
  type StepEstimates,
} from './ode/regularization.js';
export { type Replay, type ReplayOptions, replayOde } from './ode/replayOde.js';
export {
  disposeNoise,
  replaySde,
  type SdeOptions,
  type SdeSolution,
  sdeSolve,
} from './ode/sdeSolve.js';
export type { OdeMethod, OdeOptions } from './ode/solveOptions.js';
export {
  type Coefficient,
  type NoiseIncrements,
  type SdeMethod,
  type SosriOptions,
  type SosriStep,
  sosriStep,
} from './ode/sosri.js';
export type { SolveStatistics } from './ode/statistics.js';
export type { Dynamics, Step } from './ode/step.js';
export type {
  RegularizedReplay,
  SolverTask,
  TrainingOptions,
  TrainingStep,
} from './ode/trainingStep.js';
export { type Tsit5Step, tsit5Step } from './ode/tsit5.js';
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
