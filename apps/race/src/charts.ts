/** Loss curves as static SVG, drawn by Observable Plot in a document that needs no browser. */
import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import type { ContestantResult, RaceResult } from './result.js';

/** Width at which text keeps its size on a phone; wider screens show charts side by side. */
const WIDTH = 380;
const HEIGHT = 300;
/** The part of the run whose training losses one plotted point averages. */
const SMOOTHING = 1 / 40;
/** Steps cut off the top: the first drop from ln 256 would flatten the rest. */
const SKIPPED = 0.06;

interface Point {
  readonly x: number;
  readonly loss: number;
  readonly label: string;
}

/** What a chart has on its horizontal axis. */
export type ChartAxis = 'step' | 'seconds';

function trainingPoints(contestant: ContestantResult, axis: ChartAxis, steps: number): Point[] {
  const { trainLoss, seconds, label } = contestant;
  const window = Math.max(1, Math.round(steps * SMOOTHING));
  return trainLoss.map((_, i) => {
    const from = Math.max(0, i + 1 - window);
    const part = trainLoss.slice(from, i + 1);
    const loss = part.reduce((total, value) => total + value, 0) / part.length;
    return { x: axis === 'step' ? i + 1 : seconds[i]!, loss, label };
  });
}

const validationPoints = ({ validation, label }: ContestantResult, axis: ChartAxis): Point[] =>
  validation.map((point) => ({ x: point[axis], loss: point.loss, label }));

/** Loss at which the vertical axis ends: the worst contestant's shortly after the start. */
function ceiling(contestants: readonly ContestantResult[], steps: number): number {
  const early = contestants.flatMap(({ validation }) => {
    const point = validation.find(({ step }) => step >= SKIPPED * steps) ?? validation.at(-1);
    return point ? [point.loss] : [];
  });
  return early.length > 0 ? Math.max(...early) : Math.log(256);
}

/**
 * One chart: training loss (thin, a trailing mean) and validation loss (thick, with dots) of every contestant.
 * @returns an `<svg>` element as text; colours are the CSS variables `--series-0`, `--series-1`, …
 */
export function lossChart({ contestants, step, targetLoss }: RaceResult, axis: ChartAxis): string {
  const { document } = parseHTML('<!doctype html><html><body></body></html>');
  const training = contestants.flatMap((contestant) => trainingPoints(contestant, axis, step));
  const validation = contestants.flatMap((contestant) => validationPoints(contestant, axis));
  const losses = [...training, ...validation].map(({ loss }) => loss);
  const top = ceiling(contestants, step);
  const bottom = losses.length > 0 ? Math.min(...losses) : 0;
  const last = Math.max(1, ...training.map(({ x }) => x));
  const channels = { x: 'x', y: 'loss', stroke: 'label', z: 'label', clip: true } as const;
  const figure = Plot.plot({
    document,
    width: WIDTH,
    height: HEIGHT,
    marginLeft: 40,
    marginRight: 14,
    marginBottom: 44,
    style: { fontSize: '13px', background: 'none' },
    x: {
      domain: [0, last],
      label: axis === 'step' ? 'steps' : 'seconds of training',
      ticks: 5,
      labelOffset: 40,
    },
    y: { domain: [bottom - 0.03 * (top - bottom), top], label: 'loss (nats per byte)', grid: true },
    color: {
      type: 'ordinal',
      domain: contestants.map(({ label }) => label),
      range: contestants.map((_, i) => `var(--series-${i})`),
    },
    marks: [
      ...(targetLoss === null
        ? []
        : [
            Plot.ruleY([targetLoss], {
              stroke: 'currentColor',
              strokeDasharray: '3 4',
              clip: true,
            }),
          ]),
      Plot.lineY(training, { ...channels, strokeWidth: 1, strokeOpacity: 0.55 }),
      Plot.lineY(validation, { ...channels, strokeWidth: 2.5 }),
      Plot.dot(validation, { ...channels, fill: 'label', r: 2.5 }),
    ],
  } as Plot.PlotOptions);
  figure.setAttribute('role', 'img');
  figure.setAttribute('aria-label', `Loss against ${axis === 'step' ? 'steps' : 'seconds'}`);
  // In an HTML page SVG needs no namespace; without it the report names no address at all.
  const svg = figure.outerHTML.replaceAll(/ xmlns(:\w+)?="[^"]*"/g, '');
  // Plot counts its ids for each document; a page with two charts has them once only.
  return svg.replaceAll(/\bplot-clip-/g, `${axis}-clip-`);
}
