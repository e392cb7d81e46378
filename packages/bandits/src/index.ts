export type {
  FeatureArray,
  Feedback,
  Json,
  Observation,
  Policy,
  PolicyState,
  Round,
} from './policy.js';
