import type { CudaProduct, ProductPrecision } from './cudaDriver.js';
import { CUBLAS_STATUS, CudaError } from './cudaError.js';
import type { CType, Foreign, ForeignFunction, ForeignLibrary } from './foreign.js';
import { Scratch } from './scratch.js';

/** cublasOperation_t. */
const PLAIN = 0;
const TRANSPOSED = 1;

/** cudaDataType_t. */
const CUDA_R_32F = 0;
const CUDA_R_16BF = 14;

/** cublasComputeType_t: float32 sums in each. */
const COMPUTE: Record<ProductPrecision, number> = { float32: 68, tf32: 77, bfloat16: 68 };

/** CUBLAS_GEMM_DEFAULT. */
const DEFAULT_ALGORITHM = -1;

const ALPHA = 0;
const BETA = 4;

const GEMM: readonly CType[] = [
  'address', // handle
  'int', // operation on A
  'int', // operation on B
  'int', // m
  'int', // n
  'int', // k
  'address', // alpha
  'address', // A
  'int', // its type
  'int', // its leading dimension
  'address', // B
  'int',
  'int',
  'address', // beta
  'address', // C
  'int',
  'int',
  'int', // compute type
  'int', // algorithm
];

/** The same with the stride of each matrix after its leading dimension, and the count before the compute type. */
const STRIDED_GEMM: readonly CType[] = [
  ...GEMM.slice(0, 10),
  'long',
  ...GEMM.slice(10, 13),
  'long',
  ...GEMM.slice(13, 17),
  'long',
  'int',
  'int',
  'int',
];

/** CUDA's BLAS. */
export class Cublas {
  /** e.g. `12.4.5`. */
  readonly version: string;
  private readonly scratch: Scratch;
  private readonly handle: number;
  private readonly gemm: ForeignFunction;
  private readonly stridedGemm: ForeignFunction;
  private readonly destroy: ForeignFunction;
  private readonly nameOf: ForeignFunction<string> | undefined;
  private readonly textOf: ForeignFunction<string> | undefined;

  /** Opens a handle in the current context. @throws CudaError */
  constructor(foreign: Foreign, library: ForeignLibrary) {
    this.scratch = new Scratch(foreign);
    this.nameOf = library.optional<string>('cublasGetStatusName', 'string', ['int']);
    this.textOf = library.optional<string>('cublasGetStatusString', 'string', ['int']);
    const create = library.function('cublasCreate_v2', 'int', ['address']);
    const getVersion = library.function('cublasGetVersion_v2', 'int', ['address', 'address']);
    this.destroy = library.function('cublasDestroy_v2', 'int', ['address']);
    this.gemm = library.function('cublasGemmEx', 'int', GEMM);
    this.stridedGemm = library.function('cublasGemmStridedBatchedEx', 'int', STRIDED_GEMM);
    const { address } = this.scratch;
    this.check('starting cuBLAS', create(address));
    this.handle = this.scratch.size();
    this.check('asking cuBLAS for its version', getVersion(this.handle, address));
    const version = this.scratch.int();
    // CUBLAS_VERSION is 10000 · major + 100 · minor + patch from CUDA 10.1 on.
    this.version = [
      Math.floor(version / 10_000),
      Math.floor((version % 10_000) / 100),
      version % 100,
    ].join('.');
  }

  private check(what: string, status: number, kernel?: string): void {
    if (status === 0) return;
    const name = this.nameOf?.(status) ?? CUBLAS_STATUS[status] ?? `cuBLAS status ${status}`;
    const words = this.textOf?.(status);
    const detail = words === undefined || words === name ? name : `${name} (${words})`;
    throw new CudaError(`cuda: ${what} failed: ${detail}`, status, name, kernel);
  }

  /**
   * Row-major products. cuBLAS reads matrices by columns and so sees every one of them transposed: `Cᵀ = op(B)ᵀ op(A)ᵀ`
   * is what it is asked for, with the factors exchanged and the operations as they are.
   */
  multiply(product: CudaProduct): void {
    const { name, a, b, c, m, n, k, transposeA, transposeB, count, precision } = product;
    const { scratch, handle } = this;
    scratch.setFloat(ALPHA, product.alpha);
    scratch.setFloat(BETA, product.beta);
    const type = precision === 'bfloat16' ? CUDA_R_16BF : CUDA_R_32F;
    const [leadingA, leadingB] = [transposeA ? m : k, transposeB ? k : n];
    const head = [
      handle,
      transposeB ? TRANSPOSED : PLAIN,
      transposeA ? TRANSPOSED : PLAIN,
      n,
      m,
      k,
    ];
    const [alpha, beta] = [scratch.address + ALPHA, scratch.address + BETA];
    const tail = [COMPUTE[precision], DEFAULT_ALGORITHM];
    const status =
      count === 1
        ? this.gemm(
            ...head,
            ...[alpha, b, type, leadingB, a, type, leadingA],
            ...[beta, c, type, n],
            ...tail,
          )
        : this.stridedGemm(
            ...head,
            ...[alpha, b, type, leadingB, product.strideB, a, type, leadingA, product.strideA],
            ...[beta, c, type, n, product.strideC, count],
            ...tail,
          );
    this.check(`kernel '${name}'`, status, name);
  }

  /** Gives the handle back. */
  close(): void {
    this.destroy(this.handle);
  }
}
