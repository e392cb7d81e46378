import { library } from '@orth/config/tsup';

export default library();
