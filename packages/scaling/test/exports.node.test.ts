import * as scaling from '@orth/scaling';
import { expect, test } from 'vitest';

test('public names', () => {
  expect(Object.keys(scaling).sort()).toMatchSnapshot();
});
