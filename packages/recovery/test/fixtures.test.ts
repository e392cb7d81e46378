import { testFixtures } from '@orth/testing/testFixtures';
import { adapters } from './fixtures.js';

const files = import.meta.glob('./fixtures/*.json', { eager: true, import: 'default' });

/** A software GPU takes its time. */
const timeout = 300_000;

testFixtures(files, adapters, timeout);
