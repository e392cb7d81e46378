import { restoreRandom, seededRandom } from '@orth/backend';
import { expect, test } from 'vitest';

test('same seed, same numbers; a saved state continues exactly', () => {
  const a = seededRandom(7);
  const b = seededRandom(7);
  expect([a.uniform(), a.normal(), a.integer(0, 9)]).toEqual([
    b.uniform(),
    b.normal(),
    b.integer(0, 9),
  ]);
  const c = restoreRandom(a.state());
  expect(Array.from({ length: 20 }, () => c.normal())).toEqual(
    Array.from({ length: 20 }, () => a.normal()),
  );
});
