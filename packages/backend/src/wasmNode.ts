/**
 * tfjs's wasm script, as Emscripten makes it, listens in Node to every uncaught error and unhandled rejection of the
 * process, only to throw it again: Node then shows a line of that script instead of the user's, and exits with 7.
 */
const EVENTS = ['uncaughtException', 'unhandledRejection'] as const;

type Listener = (...values: unknown[]) => void;

/** As much of Node's `process` as is needed. */
interface Emitter {
  listeners(event: string): Listener[];
  removeListener(event: string, listener: Listener): unknown;
}

/** The script's own listeners; what a minifier has rewritten is left alone. */
const rethrows = (listener: Listener) =>
  /^function\s*\((\w+)\)\s*\{\s*(if \(!\(\1 instanceof ExitStatus\)\)\s*\{\s*)?throw \1;\s*\}(\s*\})?$/.test(
    String(listener),
  );

/** Starts tfjs's backend in Node, and takes those listeners away that its script added. */
export async function startInNode<T>(start: () => T | Promise<T>): Promise<T> {
  const { process } = globalThis as unknown as { process: Emitter };
  const before = new Map(EVENTS.map((event) => [event, process.listeners(event)]));
  const backend = await start();
  for (const [event, old] of before) {
    for (const listener of process.listeners(event)) {
      if (!old.includes(listener) && rethrows(listener)) process.removeListener(event, listener);
    }
  }
  return backend;
}
