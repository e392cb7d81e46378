import { memory } from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { type Adapter, formatResult, parseFixture, runFixture } from './fixture.js';

/**
 * A test for each golden fixture of a package: it passes at its own tolerance and leaves no tensor behind.
 *
 * @param files - by path, what `import.meta.glob('./fixtures/*.json', { eager: true, import: 'default' })` gives
 * @param timeout - of one fixture, in milliseconds. Default vitest's
 */
export function testFixtures(
  files: Record<string, unknown>,
  adapters: Record<string, Adapter>,
  timeout?: number,
): void {
  test.each(Object.entries(files))(
    '%s',
    async (_, json) => {
      const before = memory().numTensors;
      const result = await runFixture(parseFixture(json), adapters);
      expect(result.status, formatResult(result)).toBe('ok');
      expect(memory().numTensors).toBe(before);
    },
    timeout,
  );

  test('there are fixtures', () => {
    expect(Object.keys(files).length).toBeGreaterThan(3);
  });
}
