/** What the log makes of the errors of its disk and its files. */
import { errorMessage } from "../../platform/errors.ts";
import { InvariantError } from "../../platform/assert.ts";
import { isDiskFull, isForbidden, isOutOfDescriptors } from "../../platform/disk.ts";
import {
  DataDirectoryUnusableError,
  FORBIDDEN_ADVICE,
  LogDamagedError,
  LogFailedError,
  LogFullError,
  LogMissingError,
  NewerFormatError,
  OutOfDescriptorsError,
  SnapshotMissingError,
} from "../errors.ts";

/** The named error for what kept a log from being opened. */
export function openingError(directory: string, error: unknown): Error {
  return isForbidden(error) ? forbidden(directory, error) : storageError(directory, error);
}

/** A file that this process may not open says nothing of the disk. */
function forbidden(directory: string, error: unknown): DataDirectoryUnusableError {
  return new DataDirectoryUnusableError(directory, {
    reason: errorMessage(error),
    advice: FORBIDDEN_ADVICE,
    cause: error,
  });
}

/** The named error for what went wrong. */
export function storageError(directory: string, error: unknown): Error {
  if (
    error instanceof LogDamagedError || error instanceof NewerFormatError || error instanceof LogFullError ||
    error instanceof LogFailedError || error instanceof LogMissingError ||
    error instanceof SnapshotMissingError || error instanceof OutOfDescriptorsError ||
    error instanceof InvariantError
  ) return error;
  const details = { reason: errorMessage(error), cause: error };
  if (isOutOfDescriptors(error)) return new OutOfDescriptorsError(directory, details);
  return isDiskFull(error) ? new LogFullError(directory, details) : new LogFailedError(directory, details);
}
