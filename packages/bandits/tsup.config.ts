import { library } from '@orth/config/tsup';

export default library({ entry: ['src/index.ts', 'src/node.ts'] });
