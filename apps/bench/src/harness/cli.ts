import { Command, CommanderError } from 'commander';
import { messageOf, UsageError } from './errors.js';

/** Where a command writes: results to stdout, progress and errors to stderr. */
export interface CliStreams {
  readonly stdout: Pick<NodeJS.WriteStream, 'write'>;
  readonly stderr: Pick<NodeJS.WriteStream, 'write'> & { isTTY?: boolean; columns?: number };
}

/** A command that reports wrong arguments by throwing, so that {@link runCommand} turns them into an exit code. */
export function createCommand(name: string, description: string, streams: CliStreams): Command {
  return new Command(`pnpm ${name}`)
    .description(description)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void streams.stdout.write(text),
      writeErr: (text) => void streams.stderr.write(text),
    });
}

/**
 * Parses and runs.
 * @returns what `action` returns, 2 for a wrong command line, 1 when `action` throws; the message is on stderr
 */
export async function runCommand<Options>(
  command: Command,
  argv: readonly string[],
  streams: CliStreams,
  action: (names: string[], options: Options) => Promise<number>,
): Promise<number> {
  try {
    // `pnpm bench -- --quick` hands the separator on.
    command.parse(
      argv.filter((argument) => argument !== '--'),
      { from: 'user' },
    );
    return await action(command.processedArgs[0] as string[], command.opts() as Options);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    streams.stderr.write(`${command.name()}: ${messageOf(error)}\n`);
    return error instanceof UsageError ? 2 : 1;
  }
}
