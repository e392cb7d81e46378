import * as muon from '@orth/muon';
import { expect, test } from 'vitest';

test('public names', () => {
  expect(Object.keys(muon).sort()).toMatchSnapshot();
});
