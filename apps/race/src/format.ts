/** Numbers for people. */

/** `–` for what is not known. */
export const ABSENT = '–';

/** A loss in nats, three decimals. */
export const formatLoss = (loss: number | null): string => loss?.toFixed(3) ?? ABSENT;

/** `850 ms`, `42.1 s`, `3:05 min`. */
export function formatSeconds(seconds: number | null): string {
  if (seconds === null || !Number.isFinite(seconds)) return ABSENT;
  if (seconds < 1) return `${Math.round(1000 * seconds)} ms`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')} min`;
}

/** An estimate: whole seconds, `42 s` or `3:05 min`. */
export function formatTimeLeft(seconds: number | null): string {
  if (seconds === null || !Number.isFinite(seconds)) return ABSENT;
  return seconds < 59.5 ? `${Math.round(seconds)} s` : formatSeconds(seconds);
}

/** `912 B`, `3.7 MB`; 1 MB is 10⁶ bytes. */
export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

/** A number with thousands separated: `12,345`. */
export const formatCount = (count: number): string => Math.round(count).toLocaleString('en-US');

/** A generated text on one line: line breaks and other control characters are shown, not obeyed. */
export const oneLine = (text: string): string =>
  text.replaceAll('\n', '⏎').replaceAll(/\p{Cc}/gu, '�');
