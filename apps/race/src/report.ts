/** The report: one HTML file that holds all it shows and asks the network for nothing. */
import { lossChart } from './charts.js';
import { formatCount, formatLoss } from './format.js';
import { REPORT_STYLE } from './reportStyle.js';
import type { RaceResult } from './result.js';
import { describeShape } from './settings.js';
import { COLUMNS, ranking, tableCaption, tableRow, verdict } from './summary.js';

const escapeHtml = (text: string) =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');

const key = (index: number) => `<span class="key" style="--color: var(--series-${index})"></span>`;

function table(result: RaceResult): string {
  const head = COLUMNS.map(({ long }) => `<th scope="col">${long}</th>`);
  const best = ranking(result)[0];
  const rows = result.contestants.map((contestant, i) => {
    const [label, ...cells] = tableRow(contestant).map(escapeHtml);
    const first = `<th scope="row">${key(i)}${label}</th>`;
    const rest = cells.map((cell) => `<td>${cell}</td>`).join('');
    return `<tr${contestant === best ? ' class="best"' : ''}>${first}${rest}</tr>`;
  });
  return `<div class="scroll"><table><thead><tr>${head.join('')}</tr></thead><tbody>${rows.join('')}</tbody></table></div><p class="note">${tableCaption(result)}</p>`;
}

function samples({ contestants }: RaceResult): string {
  const written = contestants.flatMap(({ label, sample }, i) =>
    sample === ''
      ? []
      : [
          `<figure><figcaption>${key(i)}${escapeHtml(label)}</figcaption><blockquote>${escapeHtml(sample)}</blockquote></figure>`,
        ],
  );
  if (written.length === 0) return '';
  return `<section><h2>What they write</h2><div class="pair">${written.join('')}</div></section>`;
}

/** Every validation, for those who want numbers or cannot see the curves. */
function validations({ contestants }: RaceResult): string {
  const steps = [
    ...new Set(contestants.flatMap(({ validation }) => validation.map((v) => v.step))),
  ];
  const head = contestants.map(
    ({ label }, i) => `<th scope="col">${key(i)}${escapeHtml(label)}</th>`,
  );
  const rows = steps
    .sort((a, b) => a - b)
    .map((step) => {
      const cells = contestants.map(({ validation }) => {
        const loss = validation.find((point) => point.step === step)?.loss ?? null;
        return `<td>${formatLoss(loss)}</td>`;
      });
      return `<tr><th scope="row">${step}</th>${cells.join('')}</tr>`;
    });
  return `<details><summary>Validation loss in numbers</summary><div class="scroll"><table><thead><tr><th scope="col">step</th>${head.join('')}</tr></thead><tbody>${rows.join('')}</tbody></table></div></details>`;
}

function settings({ settings, backend, parameters, step }: RaceResult): string {
  const { batch, shape, seed, steps, validationRows } = settings;
  const items: [string, string][] = [
    ['Model', `${describeShape(shape)}; ${formatCount(parameters)} trained numbers`],
    ['Batch', `${batch} rows of ${shape.context} bytes`],
    ['Steps', step === steps ? `${steps}` : `${step} of ${steps} (stopped)`],
    [
      'Learning rate',
      'rises to the rate in the table over the first 5 % of the steps, then falls linearly to 0',
    ],
    [
      'Validation',
      `${formatCount(validationRows * shape.context)} bytes of the last tenth of the text`,
    ],
    ['Seed', `${seed}`],
    ['Backend', backend],
  ];
  const list = items.map(([name, text]) => `<dt>${name}</dt><dd>${escapeHtml(text)}</dd>`);
  return `<section><h2>Settings</h2><dl>${list.join('')}</dl></section>`;
}

/**
 * Writes the report of a race, finished or not.
 * @returns a whole HTML document: inline styles and static SVG, no script, no link to anything
 */
export function renderReport(result: RaceResult): string {
  const { contestants } = result;
  const names = contestants.map(({ label }) => label).join(' against ');
  const legend = contestants.map(({ label }, i) => `<span>${key(i)}${escapeHtml(label)}</span>`);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Optimiser race: ${escapeHtml(names)}</title>
<style>${REPORT_STYLE}</style>
</head>
<body>
<main>
<header>
<p class="kicker">Optimiser race on Moby-Dick</p>
<h1>${escapeHtml(names)}</h1>
<p class="lead">${escapeHtml(verdict(result))}</p>
</header>
<section>
<p class="legend">${legend.join('')}<span class="what">thick: validation · thin: training, smoothed · dashed: target</span></p>
<div class="pair">
<figure>${lossChart(result, 'step')}</figure>
<figure>${lossChart(result, 'seconds')}</figure>
</div>
</section>
<section><h2>Result</h2>${table(result)}${validations(result)}</section>
${samples(result)}
${settings(result)}
</main>
</body>
</html>
`;
}
