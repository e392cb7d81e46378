import { testFixtures } from '@orth/testing/testFixtures';
import { adapters } from './fixtures.js';

const files = import.meta.glob('./fixtures/*.json', { eager: true, import: 'default' });

testFixtures(files, adapters, 60_000);
