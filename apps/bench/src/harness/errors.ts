/** The message of whatever was thrown. */
export const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

/** The user asked for something that does not exist or cannot be done: told in one line, without a stack. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}
