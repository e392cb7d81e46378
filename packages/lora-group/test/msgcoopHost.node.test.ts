/** What needs no tensors: descriptions, few shots, metrics, the schedule, tokens. */
import {
  accuracy,
  DESCRIPTION_QUESTIONS,
  describeClasses,
  harmonicMean,
  hashTokenizer,
  sampleShots,
  warmupCosine,
} from '@orth/lora-group';
import { expect, test } from 'vitest';

test('describeClasses asks five questions a class and tidies the answers', async () => {
  const asked: string[] = [];
  const progress: object[] = [];
  const descriptions = await describeClasses(
    ['sea_otter', 'crane'],
    async (prompt) => {
      asked.push(prompt);
      if (prompt.includes('crane'))
        return prompt.startsWith('What does') ? ' "tall,\n grey." ' : '';
      return `answer ${asked.length % 2}`;
    },
    { onClass: (each) => progress.push(each) },
  );
  expect(asked).toHaveLength(2 * DESCRIPTION_QUESTIONS.length);
  expect(DESCRIPTION_QUESTIONS).toHaveLength(5);
  expect(asked[0]).toContain('sea otter');
  expect(descriptions).toEqual([['answer 1', 'answer 0'], ['tall, grey']]);
  expect(progress).toEqual([
    { done: 1, total: 2, name: 'sea_otter' },
    { done: 2, total: 2, name: 'crane' },
  ]);
});

test('describeClasses names the class without a description, stops, and checks', async () => {
  const silent = async () => ' \n';
  await expect(describeClasses(['owl'], silent)).rejects.toThrow('"owl"');
  await expect(describeClasses([], silent)).rejects.toThrow('classNames');
  await expect(describeClasses(['owl'], 'gpt' as never)).rejects.toThrow('llm');
  await expect(describeClasses(['owl'], silent, { questions: [] })).rejects.toThrow('questions');
  const signal = AbortSignal.abort(new Error('enough'));
  await expect(describeClasses(['owl'], silent, { signal })).rejects.toThrow('enough');
});

test('sampleShots takes as many of each class, other ones with another seed', () => {
  const labels = Array.from({ length: 60 }, (_, i) => (i * 7) % 3);
  const rows = sampleShots(labels, 4, 1);
  expect(rows).toHaveLength(12);
  expect(new Set(rows).size).toBe(12);
  expect(rows.map((row) => labels[row])).toEqual([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]);
  expect(sampleShots(labels, 4, 1)).toEqual(rows);
  expect(sampleShots(labels, 4, 2)).not.toEqual(rows);
  expect(() => sampleShots(labels, 21)).toThrow('got 21 for 20 of class 0');
  expect(() => sampleShots([0, 2], 1)).toThrow('class 1');
  expect(() => sampleShots([0, -1], 1)).toThrow('labels');
});

test('metrics', () => {
  expect(accuracy([1, 2, 3, 3], [1, 2, 0, 3])).toBe(0.75);
  expect(() => accuracy([], [])).toThrow('labels');
  expect(() => accuracy([1], [1, 2])).toThrow('labels');
  expect(harmonicMean(0.8, 0.4)).toBeCloseTo(0.5333333, 6);
  expect(harmonicMean(0, 0)).toBe(0);
  expect(() => harmonicMean(-1, 1)).toThrow('a');
});

test('the schedule: one epoch at 1e-5, then half a cosine as long as all epochs', () => {
  const rate = warmupCosine({ epochs: 100 });
  expect(rate(0)).toBe(1e-5);
  expect(rate(1)).toBe(0.002);
  expect(rate(51)).toBeCloseTo(0.001, 12);
  expect(rate(99)).toBeCloseTo(0.001 * (1 + Math.cos(0.98 * Math.PI)), 12);
  expect(warmupCosine({ warmupEpochs: 0, learningRate: 1 })(0)).toBe(1);
  expect(() => warmupCosine({ epochs: 0 })).toThrow('epochs');
});

test('hashed tokens: start, words and marks, end', () => {
  const tokenize = hashTokenizer(100);
  const row = tokenize('A photo, of a cat.');
  expect(row).toHaveLength(9);
  expect([row[0], row[8]]).toEqual([1, 2]);
  expect(row[1]).toBe(row[5]);
  expect(row.slice(1, 8).every((id) => id >= 3 && id < 100)).toBe(true);
  expect(tokenize('')).toEqual([1, 2]);
});
