import * as losses from '@orth/losses';
import { expect, test } from 'vitest';

test('public names', () => {
  expect(Object.keys(losses).sort()).toMatchSnapshot();
});
