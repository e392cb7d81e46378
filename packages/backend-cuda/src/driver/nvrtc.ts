import type { CudaDevice, KernelSource } from './cudaDriver.js';
import { CudaError } from './cudaError.js';
import type { Foreign, ForeignFunction, ForeignLibrary } from './foreign.js';
import { Scratch, StringArray } from './scratch.js';

/** Fused multiply-adds stay on, and denormals too: the compiler's defaults. */
const OPTIONS = ['--std=c++17'];

/** CUDA's runtime compiler. */
export class Nvrtc {
  /** e.g. `12.4`. */
  readonly version: string;
  /** What it compiles for. */
  readonly architecture: string;
  private readonly scratch: Scratch;
  private readonly text: (code: number) => string;
  private readonly functions: Record<string, ForeignFunction>;

  /** @throws Error if it cannot compile for the device */
  constructor(
    private readonly foreign: Foreign,
    library: ForeignLibrary,
    { capability, name }: CudaDevice,
  ) {
    this.scratch = new Scratch(foreign);
    const find = (symbol: string, count: number) =>
      library.function(symbol, 'int', Array(count).fill('address'));
    this.text = library.function<string>('nvrtcGetErrorString', 'string', ['int']) as never;
    this.functions = {
      version: find('nvrtcVersion', 2),
      architectureCount: find('nvrtcGetNumSupportedArchs', 1),
      architectures: find('nvrtcGetSupportedArchs', 1),
      create: library.function('nvrtcCreateProgram', 'int', [
        'address',
        'string',
        'string',
        'int',
        'address',
        'address',
      ]),
      compile: library.function('nvrtcCompileProgram', 'int', ['address', 'int', 'address']),
      destroy: find('nvrtcDestroyProgram', 1),
      logSize: find('nvrtcGetProgramLogSize', 2),
      log: find('nvrtcGetProgramLog', 2),
      cubinSize: find('nvrtcGetCUBINSize', 2),
      cubin: find('nvrtcGetCUBIN', 2),
      ptxSize: find('nvrtcGetPTXSize', 2),
      ptx: find('nvrtcGetPTX', 2),
    };
    const { address } = this.scratch;
    this.check('asking for its version', this.call('version', address, address + 4));
    this.version = `${this.scratch.int(0)}.${this.scratch.int(4)}`;
    this.architecture = this.choose(10 * capability[0] + capability[1], name);
  }

  private call(name: string, ...values: (number | string)[]): number {
    return this.functions[name]!(...values);
  }

  private check(what: string, code: number): void {
    if (code === 0) return;
    const words = this.text(code);
    throw new CudaError(`cuda: NVRTC: ${what} failed: ${words}`, code, words);
  }

  /** The device's own architecture; one that is newer than the compiler takes the newest, which the driver translates. */
  private choose(wanted: number, device: string): string {
    this.check('listing architectures', this.call('architectureCount', this.scratch.address));
    const buffer = new ArrayBuffer(4 * this.scratch.int());
    this.check('listing architectures', this.call('architectures', this.foreign.addressOf(buffer)));
    const known = [...new Int32Array(buffer)];
    if (known.includes(wanted)) return `sm_${wanted}`;
    const older = known.filter((architecture) => architecture < wanted);
    if (older.length > 0) return `compute_${Math.max(...older)}`;
    const show = (n: number) => `${Math.floor(n / 10)}.${n % 10}`;
    throw new Error(
      `NVRTC ${this.version} compiles for compute capability ${show(Math.min(...known))} and later, and ${device} has ` +
        `${show(wanted)}: install an older CUDA toolkit`,
    );
  }

  /** Compiles one kernel. @throws CudaError with the compiler's log */
  compile({ name, code }: KernelSource): Uint8Array {
    const { foreign, scratch, architecture } = this;
    const { address } = scratch;
    this.check('making a program', this.call('create', address, code, `${name}.cu`, 0, 0, 0));
    const program = scratch.size();
    try {
      const options = new StringArray(foreign, [...OPTIONS, `--gpu-architecture=${architecture}`]);
      const count = OPTIONS.length + 1;
      const result = this.call('compile', program, count, options.address);
      if (result !== 0) {
        const words = this.text(result);
        const log = new TextDecoder().decode(this.take(program, 'log')).replace(/\0+$/, '').trim();
        const message = `cuda: kernel '${name}' could not be compiled: ${words}\n${log}`;
        throw new CudaError(message, result, words, name);
      }
      return this.take(program, architecture.startsWith('sm_') ? 'cubin' : 'ptx');
    } finally {
      scratch.setSize(0, program);
      this.call('destroy', address);
    }
  }

  private take(program: number, what: 'log' | 'cubin' | 'ptx'): Uint8Array {
    this.check(`reading the ${what}`, this.call(`${what}Size`, program, this.scratch.address));
    const buffer = new ArrayBuffer(this.scratch.size());
    this.check(`reading the ${what}`, this.call(what, program, this.foreign.addressOf(buffer)));
    return new Uint8Array(buffer);
  }
}
