import * as unfolding from '@orth/unfolding';
import { expect, test } from 'vitest';

test('public names', () => {
  expect(Object.keys(unfolding).sort()).toMatchSnapshot();
});
