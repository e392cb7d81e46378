import { join } from 'node:path';
import { CheckpointError, type RandomState } from '@orth/backend';
import { encodeArchive, readArchive, writeAtomically } from './archive.js';
import type { ContestantState } from './contestant.js';
import { checkSettings, type RaceSettings } from './settings.js';

/** Raised when the contents below change their meaning. */
const VERSION = 1;
const FORMAT = 'orth-race';

/** All that a race needs to go on as if it had never stopped. */
export interface RaceCheckpoint {
  readonly format: typeof FORMAT;
  readonly version: number;
  readonly settings: RaceSettings;
  /** tfjs's name of the backend: another one rounds differently. */
  readonly backend: string;
  /** Length of the training text. */
  readonly textBytes: number;
  /** Steps done. */
  readonly step: number;
  readonly sampler: RandomState;
  readonly contestants: readonly ContestantState[];
}

/** Where a race keeps its checkpoint. */
export const checkpointPath = (folder: string): string => join(folder, 'checkpoint.orth');

/** Writes a checkpoint; an older one stays until the new one is whole. */
export async function writeCheckpoint(
  folder: string,
  checkpoint: Omit<RaceCheckpoint, 'format' | 'version'>,
): Promise<string> {
  const path = checkpointPath(folder);
  const contents: RaceCheckpoint = { format: FORMAT, version: VERSION, ...checkpoint };
  await writeAtomically(path, encodeArchive(contents));
  return path;
}

/**
 * Reads a checkpoint and checks all of it but what only the optimisers can check.
 * @throws CheckpointError if there is none, or it is damaged, foreign, or of another version
 */
export async function readCheckpoint(folder: string): Promise<RaceCheckpoint> {
  const path = checkpointPath(folder);
  const checkpoint = (await readArchive(path)) as RaceCheckpoint;
  if (checkpoint?.format !== FORMAT) {
    throw new CheckpointError(`${path} is not a checkpoint of the race`);
  }
  if (checkpoint.version !== VERSION) {
    throw new CheckpointError(
      `${path} has version ${checkpoint.version}; this release reads version ${VERSION}`,
    );
  }
  try {
    checkSettings('readCheckpoint', checkpoint.settings);
  } catch (error) {
    throw new CheckpointError(`${path} does not fit this release: ${(error as Error).message}`);
  }
  return checkpoint;
}
