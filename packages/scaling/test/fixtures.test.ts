import { testFixtures } from '@orth/testing/testFixtures';
import { adapters } from './fixtures.js';

const files = import.meta.glob('./fixtures/*.json', { eager: true, import: 'default' });

/** Hundreds of steps on a software GPU take their time. */
const timeout = 300_000;

testFixtures(files, adapters, timeout);
