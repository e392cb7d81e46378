import { benchCommand } from './benchCli.js';

const code = await benchCommand(process.argv.slice(2), {
  benches: new URL('./benches/', import.meta.url),
  peers: new URL('../peers/', import.meta.url),
});
// WebGPU keeps a Node process alive for ever.
process.exit(code);
