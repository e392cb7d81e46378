import pc from 'picocolors';

/** Colours for a terminal only: what goes to a file or a CI log is plain text. */
const enabled = pc.isColorSupported && process.stdout.isTTY === true;

export const colors = { ...pc.createColors(enabled), isColorSupported: enabled };
