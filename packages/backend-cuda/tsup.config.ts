import { library } from '@orth/config/tsup';

// koffi is optional: it must stay an import that may fail at run time.
export default library({ external: ['koffi'] });
