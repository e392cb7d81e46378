import { checkInteger, checkNumber, checkOptions, type CheckpointError } from '@orth/backend';
