import { application } from '@orth/config/tsup';

export default application(['src/index.ts', 'src/cli.ts']);
