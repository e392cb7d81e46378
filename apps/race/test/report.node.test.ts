import { expect, test } from 'vitest';
import { renderReport } from '../src/report.js';
import type { ContestantResult, RaceResult } from '../src/result.js';
import { raceSettings } from '../src/settings.js';
import { verdict } from '../src/summary.js';
import { renderResult } from '../src/table.js';

const steps = 40;

function contestant(optimizer: 'adamW' | 'muon', label: string, end: number): ContestantResult {
  const loss = (step: number) => end + (5.5 - end) * Math.exp(-step / 6);
  const trainLoss = Array.from({ length: steps }, (_, i) => loss(i));
  const validation = [0, 10, 20, 30, 40].map((step) => ({
    step,
    loss: loss(step),
    seconds: step / 10,
  }));
  return {
    optimizer,
    label,
    learningRate: 0.01,
    trainLoss,
    seconds: trainLoss.map((_, i) => (i + 1) / 10),
    validation,
    divergedAt: null,
    finalTrainLoss: loss(steps),
    finalValidationLoss: loss(steps),
    stepsToTarget: 30,
    secondsToTarget: 3,
    millisecondsPerStep: 100,
    stateBytes: 3_600_000,
    sample: `The whale <script>alert("${label}")</script>\nhttps://example.org/`,
  };
}

const result: RaceResult = {
  settings: raceSettings({ steps }),
  backend: 'wasm (library 1.0; CPU)',
  parameters: 460_000,
  step: steps,
  finished: true,
  targetLoss: 2.1,
  targetGiven: false,
  contestants: [contestant('adamW', 'AdamW', 2.1), contestant('muon', 'Muon', 1.9)],
};

const html = renderReport(result);

test('asks nothing of the network and runs nothing', () => {
  expect(html).not.toMatch(/<(script|link|img|iframe|object|embed|base)\b/i);
  expect(html).not.toMatch(/\b(src|href|srcset|action|data|xmlns)\s*=/i);
  expect(html).not.toMatch(/url\((?!#)|@import/i);
  // The one address is the one that a sample wrote, as text.
  expect(html.match(/\w+:\/\//g)).toEqual(['https://', 'https://']);
  expect(html).toContain('&lt;script>alert(&quot;Muon&quot;)');
});

test('shows a curve of training and of validation for each optimiser, over steps and over seconds', () => {
  const charts = html.match(/<svg[\s\S]*?<\/svg>/g)!;
  expect(charts.length).toBe(2);
  for (const chart of charts) {
    for (const i of [0, 1]) {
      const curves = [...chart.matchAll(/<path[^>]* d="([^"]*)"[^>]*>/g)].filter(([path]) =>
        path.includes(`stroke="var(--series-${i})"`),
      );
      expect(curves.length).toBe(2);
      for (const [, d] of curves) expect(d!.match(/[ML]/g)!.length).toBeGreaterThanOrEqual(5);
      expect(chart.match(new RegExp(`<circle[^>]*series-${i}`, 'g'))!.length).toBe(5);
    }
    expect(chart).not.toContain('NaN');
  }
  expect(charts[0]).toContain('steps');
  expect(charts[1]).toContain('seconds');
});

test('has table, settings, samples and backend', () => {
  for (const text of ['2.104', '3.6 MB', 'wasm (library 1.0; CPU)', '460,000', 'What they write']) {
    expect(html.includes(text), text).toBe(true);
  }
  expect(html).toContain('prefers-color-scheme: dark');
  expect(html).toContain('name="viewport"');
});

test('says who is ahead and how much sooner', () => {
  expect(verdict(result)).toBe(
    "After 40 steps Muon is ahead of AdamW by 0.200 nats per byte. It reached AdamW's final loss after 20 steps, in 0.50 times its time.",
  );
});

test('a race stopped before its first step, or with a diverged contestant, can be shown too', () => {
  const bare = { ...result.contestants[0]!, trainLoss: [], seconds: [], validation: [] };
  const nothing = { finalTrainLoss: null, finalValidationLoss: null, millisecondsPerStep: null };
  const first = { ...bare, ...nothing, stepsToTarget: null, secondsToTarget: null, sample: '' };
  const stopped = { ...result, step: 0, targetLoss: null, contestants: [first] };
  expect(renderReport(stopped)).toContain('No contestant finished.');
  const diverged = {
    ...result,
    contestants: [{ ...first, divergedAt: 7 }, result.contestants[1]!],
  };
  expect(renderReport(diverged)).toContain('diverged at step 7');
  expect(renderResult(diverged)).toContain('diverged at step 7');
  expect(renderReport(diverged)).not.toContain('NaN');
});
