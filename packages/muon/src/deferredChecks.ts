import type { Tensor } from '@tensorflow/tfjs-core';

/**
 * Flags that are computed on a device and read back later, where reading at once is impossible or slow. Each is watched
 * until it arrives; those watched before a `forget` no longer count.
 */
export class DeferredChecks {
  private readonly pending = new Set<Promise<void>>();
  private epoch = 0;
  private failure: Error | undefined;

  /**
   * @param flag - scalar bool, kept; disposed once read
   * @param onFalse - what to do when it turns out false; an error that it returns is reported by {@link throwFailure}
   */
  watch(flag: Tensor, onFalse: () => Error | undefined): void {
    const { epoch } = this;
    const settle = (error: Error | undefined) => {
      if (epoch === this.epoch) this.failure ??= error;
    };
    const check = flag
      .data()
      .then(([value]) => settle(value || epoch !== this.epoch ? undefined : onFalse()))
      .catch(settle)
      .finally(() => {
        flag.dispose();
        this.pending.delete(check);
      });
    this.pending.add(check);
  }

  /** Waits for every flag; never rejects. */
  async arrived(): Promise<void> {
    await Promise.all(this.pending);
  }

  /** Throws the first error that has come up since the last call. */
  throwFailure(): void {
    const { failure } = this;
    this.failure = undefined;
    if (failure) throw failure;
  }

  /** What is still on its way, or was not reported yet, is of no concern any more. */
  forget(): void {
    this.epoch++;
    this.failure = undefined;
  }
}
