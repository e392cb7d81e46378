import { library } from '@orth/config/tsup';

// koffi is optional: it must stay an import that may fail at run time. `shims` gives CommonJS its import.meta.url.
export default library({ external: ['koffi'], shims: true });
