import { createHash, randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CudaDriver, CudaKernel, KernelSource } from './driver/cudaDriver.js';

const DIGEST_BYTES = 32;
const digest = (...parts: (string | Uint8Array)[]) => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};

/**
 * Kernels, compiled when they are first used and kept in memory; with a folder also on disk, where a file is a digest of
 * the image and the image, named after all that it was made from.
 */
export class KernelCache {
  private readonly kernels = new Map<string, CudaKernel>();
  private readonly folder: string | undefined;
  /** How many kernels were compiled, and how many came from the folder. */
  readonly counts = { compiled: 0, fromDisk: 0 };

  /** @throws Error if the folder cannot be made */
  constructor(
    private readonly driver: CudaDriver,
    folder?: string,
  ) {
    this.folder = folder;
    if (folder !== undefined) mkdirSync(folder, { recursive: true });
  }

  /**
   * The kernel of a name.
   * @param source - makes its source, when it is used for the first time
   * @throws CudaError with the compiler's or the driver's words
   */
  get(name: string, source: () => KernelSource): CudaKernel {
    const known = this.kernels.get(name);
    if (known) return known;
    const made = this.make(source());
    this.kernels.set(name, made);
    return made;
  }

  private make(source: KernelSource): CudaKernel {
    const { driver } = this;
    const file = this.fileOf(source);
    const stored = file === undefined ? undefined : readImage(file);
    if (stored) {
      try {
        const kernel = driver.load(source, stored);
        this.counts.fromDisk++;
        return kernel;
      } catch {
        // Made by another version of the driver, perhaps: compiled anew and replaced below.
      }
    }
    const image = driver.compile(source);
    this.counts.compiled++;
    if (file !== undefined) writeImage(file, image);
    return driver.load(source, image);
  }

  private fileOf({ name, code }: KernelSource): string | undefined {
    if (this.folder === undefined) return undefined;
    const { architecture, versions } = this.driver;
    const key = digest(JSON.stringify([architecture, versions.nvrtc, name, code]));
    return join(this.folder, `${name}-${key.toString('hex').slice(0, 32)}.bin`);
  }
}

function readImage(file: string): Uint8Array | undefined {
  try {
    const bytes = readFileSync(file);
    const image = bytes.subarray(DIGEST_BYTES);
    return digest(image).equals(bytes.subarray(0, DIGEST_BYTES)) ? image : undefined;
  } catch {
    return undefined;
  }
}

/** Under a temporary name first, since several processes may share the folder. */
function writeImage(file: string, image: Uint8Array): void {
  const temporary = `${file}.${randomUUID()}`;
  try {
    writeFileSync(temporary, Buffer.concat([digest(image), image]));
    renameSync(temporary, file);
  } catch {
    // A full disk, or one without the right to write, costs time only.
    rmSync(temporary, { force: true });
  }
}
