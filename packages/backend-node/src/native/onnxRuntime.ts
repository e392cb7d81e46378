/**
 * ONNX Runtime through its C API: one table of functions, whose order never changes (new ones are added at the end).
 * Graphs run synchronously on memory that belongs to the caller; see `program.ts`.
 */
import type { CType, Foreign, ForeignFunction } from './foreign.js';
import { encodeModel, type OnnxGraph } from './onnxModel.js';
import { createProgram, type Program } from './program.js';

/** Nodes up to which the library may rewrite a graph; for long ones that takes longer than it ever saves. */
const MOST_OPTIMIZED = 64;
const NO_OPTIMIZATION = 0;

/** Oldest API whose functions and operators are used here: that of ONNX Runtime 1.16. */
const API_VERSION = 16;

/** Places in the table `OrtApi` of onnxruntime_c_api.h. */
const SLOT = {
  getErrorMessage: 2,
  createSessionFromArray: 8,
  run: 9,
  createSessionOptions: 10,
  setGraphOptimizationLevel: 23,
  setIntraOpThreads: 24,
  setInterOpThreads: 25,
  createTensorWithData: 49,
  createCpuMemoryInfo: 69,
  releaseEnv: 92,
  releaseStatus: 93,
  releaseMemoryInfo: 94,
  releaseSession: 95,
  releaseValue: 96,
  releaseSessionOptions: 100,
  createEnvWithGlobalThreadPools: 119,
  disablePerSessionThreads: 120,
  createThreadingOptions: 121,
  releaseThreadingOptions: 122,
  addSessionConfigEntry: 130,
  createAndRegisterAllocator: 144,
  setGlobalIntraOpThreads: 147,
  setGlobalInterOpThreads: 148,
  setGlobalSpinControl: 149,
} as const;

/** Failures become errors of JavaScript; the library is not to write to the console as well. */
const LOG_LEVEL_FATAL = 4;
const DEVICE_ALLOCATOR = 0;
const ARENA_ALLOCATOR = 1;
const MEMORY_DEFAULT = 0;

/** The functions of the API that programs call, and memory through which results come back. */
export interface OrtCalls {
  readonly createTensorWithData: ForeignFunction;
  readonly run: ForeignFunction;
  readonly releaseValue: ForeignFunction<void>;
  readonly memoryInfo: number;
  /** @throws Error with ONNX Runtime's words, unless `status` is 0 */
  check(status: number): void;
}

/** A running ONNX Runtime. */
export interface OnnxRuntime {
  readonly version: string;
  readonly threads: number;
  /** The program for `key`; `graph` is asked for the first time only. */
  program(key: string, graph: () => OnnxGraph): Program;
  /** Ends the threads and frees everything; programs are invalid afterwards. */
  close(): void;
}

/**
 * Starts ONNX Runtime from the library at `path`.
 * @throws Error if the library cannot be loaded or is too old
 */
export function openOnnxRuntime(foreign: Foreign, path: string, threads: number): OnnxRuntime {
  const base = foreign.load(path).function('OrtGetApiBase', 'address', [])();
  const version = foreign.functionAt<string>(foreign.addressAt(base + 8), 'string', [])();
  const getApi = foreign.functionAt(foreign.addressAt(base), 'address', ['int']);
  const table = getApi(API_VERSION);
  if (table === 0) {
    throw new Error(`ONNX Runtime ${version} is too old: 1.${API_VERSION} or later is needed`);
  }
  const get = <Result = number>(
    slot: keyof typeof SLOT,
    parameters: CType[],
    result: CType = 'address',
  ) => foreign.functionAt<Result>(foreign.addressAt(table + 8 * SLOT[slot]), result, parameters);
  const release = (slot: keyof typeof SLOT) => get<void>(slot, ['address'], 'void');

  const errorMessage = get<string>('getErrorMessage', ['address'], 'string');
  const releaseStatus = release('releaseStatus');
  const check = (status: number) => {
    if (status === 0) return;
    const message = errorMessage(status);
    releaseStatus(status);
    throw new Error(`ONNX Runtime: ${message}`);
  };

  // Handles come back through a pointer to memory of ours.
  const cell = new ArrayBuffer(8);
  const cellAddress = foreign.addressOf(cell);
  const cellWords = new Uint32Array(cell);
  const handle = (status: number) => {
    check(status);
    return cellWords[0]! + cellWords[1]! * 2 ** 32;
  };

  const threading = handle(get('createThreadingOptions', ['address'])(cellAddress));
  check(get('setGlobalIntraOpThreads', ['address', 'int'])(threading, threads));
  check(get('setGlobalInterOpThreads', ['address', 'int'])(threading, 1));
  // Idle threads sleep: spinning would take a core from the JavaScript between two calls.
  check(get('setGlobalSpinControl', ['address', 'int'])(threading, 0));
  const createEnv = get('createEnvWithGlobalThreadPools', ['int', 'string', 'address', 'address']);
  const env = handle(createEnv(LOG_LEVEL_FATAL, 'orth', threading, cellAddress));
  release('releaseThreadingOptions')(threading);
  const createMemoryInfo = get('createCpuMemoryInfo', ['int', 'int', 'address']);
  const memoryInfo = handle(createMemoryInfo(DEVICE_ALLOCATOR, MEMORY_DEFAULT, cellAddress));

  // One arena for the intermediate results of all programs, which run one at a time; by default each would keep its own.
  const arenaInfo = handle(createMemoryInfo(ARENA_ALLOCATOR, MEMORY_DEFAULT, cellAddress));
  const registerAllocator = get('createAndRegisterAllocator', ['address', 'address', 'address']);
  const registered = registerAllocator(env, arenaInfo, 0);
  // The environment outlives a runtime where another worker uses it, too: then it has the arena already.
  if (registered !== 0) releaseStatus(registered);
  release('releaseMemoryInfo')(arenaInfo);

  const createSessionOptions = get('createSessionOptions', ['address']);
  const disablePerSessionThreads = get('disablePerSessionThreads', ['address']);
  const setOptimization = get('setGraphOptimizationLevel', ['address', 'int']);
  const setIntraOpThreads = get('setIntraOpThreads', ['address', 'int']);
  const setInterOpThreads = get('setInterOpThreads', ['address', 'int']);
  const addConfig = get('addSessionConfigEntry', ['address', 'string', 'string']);
  const releaseSessionOptions = release('releaseSessionOptions');
  const createSession = get('createSessionFromArray', Array<CType>(5).fill('address'));
  const releaseSession = release('releaseSession');

  let sharedPool = true;
  const openSession = (model: Uint8Array, nodes: number): number => {
    const bytes = new ArrayBuffer(model.length);
    new Uint8Array(bytes).set(model);
    const options = handle(createSessionOptions(cellAddress));
    try {
      check(addConfig(options, 'session.use_env_allocators', '1'));
      if (nodes > MOST_OPTIMIZED) check(setOptimization(options, NO_OPTIMIZATION));
      if (sharedPool) {
        check(disablePerSessionThreads(options));
      } else {
        check(setIntraOpThreads(options, threads));
        check(setInterOpThreads(options, 1));
        check(addConfig(options, 'session.intra_op.allow_spinning', '0'));
      }
      return handle(
        createSession(env, foreign.addressOf(bytes), model.length, options, cellAddress),
      );
    } catch (error) {
      // The library's environment is one a process. Where another user of it came first and made one without a pool of
      // threads, sessions bring their own.
      if (!sharedPool || !/global ?thread ?pool/i.test(String(error))) throw error;
      sharedPool = false;
      return openSession(model, nodes);
    } finally {
      releaseSessionOptions(options);
    }
  };

  const calls: OrtCalls = {
    createTensorWithData: get('createTensorWithData', [
      'address',
      'address',
      'address',
      'address',
      'address',
      'int',
      'address',
    ]),
    run: get('run', Array<CType>(8).fill('address')),
    releaseValue: release('releaseValue'),
    memoryInfo,
    check,
  };
  const programs = new Map<string, { program: Program; session: number }>();

  return {
    version,
    threads,
    program(key, graph) {
      let entry = programs.get(key);
      if (!entry) {
        const described = graph();
        const session = openSession(encodeModel(described), described.nodes.length);
        entry = { session, program: createProgram(foreign, calls, session, described) };
        programs.set(key, entry);
      }
      return entry.program;
    },
    close() {
      for (const { session } of programs.values()) releaseSession(session);
      programs.clear();
      release('releaseMemoryInfo')(memoryInfo);
      release('releaseEnv')(env);
    },
  };
}
