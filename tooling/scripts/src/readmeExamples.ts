/**
 * The runnable examples of a README: every fenced block marked `js` stands alone and runs as an ES module. Blocks marked
 * otherwise (`ts`, `diff`, `sh`, `html`) are not run.
 */
export function exampleScripts(readme: string): string[] {
  return [...readme.matchAll(/^```js\n([\s\S]*?)^```$/gm)].map((match) => match[1]!);
}
