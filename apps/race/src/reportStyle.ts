/** Style sheet of the report: light and dark, one column on a phone. Series colours are told apart in both. */
export const REPORT_STYLE = `
:root {
  --ink: #1d2430; --soft: #5b6675; --paper: #fbfaf7; --card: #fff; --line: #e3e0d8;
  --series-0: #c2571a; --series-1: #1f6fb2; --series-2: #2c8a57; --series-3: #8b4bb3;
  --series-4: #b3243f; --series-5: #7a6a00; --series-6: #0d7f86; --series-7: #5a5f6b;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e8e6e1; --soft: #9aa4b2; --paper: #14181f; --card: #1b212a; --line: #303846;
    --series-0: #f08a4b; --series-1: #5fb0f0; --series-2: #5cc78d; --series-3: #c493e8;
    --series-4: #f0718a; --series-5: #d6c24a; --series-6: #4cc6cd; --series-7: #b3b9c6;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 66rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: clamp(1.6rem, 5vw, 2.4rem); line-height: 1.15; margin: 0 0 .6rem; }
h2 { font-size: 1.15rem; margin: 2.4rem 0 .8rem; }
.kicker { margin: 0 0 .3rem; color: var(--soft); font-size: .9rem; }
.lead { font-size: 1.1rem; max-width: 44rem; margin: 0 0 1.6rem; }
.pair { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); }
figure { margin: 0; padding: 1rem; background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
figure svg { display: block; width: 100%; height: auto; overflow: visible; }
figcaption { font-weight: 600; margin-bottom: .4rem; }
blockquote { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; font-family: Georgia, "Times New Roman", serif; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; margin: 0 0 .8rem; font-weight: 600; }
.legend .what { font-weight: 400; color: var(--soft); }
.note { margin: .5rem 0 0; color: var(--soft); font-size: .9rem; }
.key { display: inline-block; width: .75em; height: .75em; margin-right: .45em; border-radius: 50%; background: var(--color); }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 10px; background: var(--card); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .55rem .8rem; text-align: right; white-space: nowrap; border-top: 1px solid var(--line); }
thead th { border-top: 0; color: var(--soft); font-weight: 500; font-size: .9rem; }
th:first-child { text-align: left; }
tbody th { font-weight: 500; }
.best th, .best td { font-weight: 700; }
details { margin-top: .8rem; }
summary { cursor: pointer; color: var(--soft); margin-bottom: .5rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .35rem 1.2rem; margin: 0; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 32rem) {
  main { padding: 1.5rem .9rem 3rem; }
  figure { padding: .8rem .6rem; }
  th, td { padding: .5rem .55rem; font-size: .88rem; }
  dl { grid-template-columns: 1fr; } dd { margin-bottom: .4rem; }
}
`;
