/** A backend that was asked for cannot be used here; `rejected` says which were tried and why each was not taken. */
export class BackendUnavailableError extends Error {
  override readonly name = 'BackendUnavailableError';
  constructor(
    message: string,
    /** Every backend that was considered, with the reason it was not taken. */
    readonly rejected: readonly RejectedBackend[],
  ) {
    super(message);
  }
}

/** Why a backend was not taken. */
export interface RejectedBackend {
  /** The backend's tfjs name. */
  readonly name: string;
  /** One sentence: what was missing and how to get it. */
  readonly reason: string;
}

/** The device behind a backend went away; its tensors are lost. */
export class DeviceLostError extends Error {
  override readonly name = 'DeviceLostError';
  constructor(
    message: string,
    /** The backend whose device was lost. */
    readonly backend: string,
    /** The cause, in the driver's words. */
    readonly reason: string,
  ) {
    super(message);
  }
}

/** A saved state is damaged, or belongs to something else; nothing was changed. */
export class CheckpointError extends Error {
  override readonly name = 'CheckpointError';
}

/** A gradient or loss holds NaN or an infinity; nothing was changed. */
export class NonFiniteError extends Error {
  override readonly name = 'NonFiniteError';
}
