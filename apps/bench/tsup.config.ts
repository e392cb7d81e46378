import { application } from '@orth/config/tsup';

// Each bench and each reproduction is an entry of its own: the commands load what these folders hold.
export default application(['src/bench.ts', 'src/repro.ts', 'src/{benches,repros}/*.ts'], {
  outDir: 'dist',
});
