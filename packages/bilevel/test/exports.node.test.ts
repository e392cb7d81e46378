import * as bilevel from '@orth/bilevel';
import { expect, test } from 'vitest';

test('public names', () => {
  expect(Object.keys(bilevel).sort()).toMatchSnapshot();
});
