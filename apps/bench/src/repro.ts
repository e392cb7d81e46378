import { reproCommand } from './reproCli.js';

const code = await reproCommand(process.argv.slice(2), new URL('./repros/', import.meta.url));
// WebGPU keeps a Node process alive for ever.
process.exit(code);
