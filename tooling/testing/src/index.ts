export {
  type Adapter,
  type AdapterContext,
  type Fixture,
  type FixtureResult,
  formatResult,
  parseFixture,
  runFixture,
  type TensorData,
} from './fixture.js';
export { expectTensorClose, maxError, type Tolerance } from './tensorClose.js';
