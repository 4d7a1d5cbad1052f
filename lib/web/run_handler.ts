/** Calls the handler for a request, and answers for it where it fails. */
import { logConnectionFault } from "../platform/fault.ts";
import type { Logger } from "../platform/logger.ts";
import { WebError, type WebHandler, type WebRequest } from "./types.ts";

/** A request, with what is needed to answer for a handler that failed. */
export interface HandledRequest extends WebRequest {
  /** Whether an answer was begun. */
  readonly isAnswered: boolean;
  /** Ends an answer that was begun, such that the client sees that it is incomplete. */
  abandon(): void;
}

/** Options of {@link runHandler}. */
export interface RunOptions {
  readonly handler: WebHandler;
  readonly logger: Logger;
  /** Called when the handler has returned, and its promise is settled. */
  readonly onSettled: () => void;
}

/** Calls the handler; returns whether it is still running. */
export function runHandler(request: HandledRequest, options: RunOptions): boolean {
  try {
    const running = options.handler(request);
    if (running === undefined) return false;
    running.then(options.onSettled, (error: unknown) => {
      failed(request, options, error);
      options.onSettled();
    });
    return true;
  } catch (error) {
    failed(request, options, error);
    return false;
  }
}

/** Answers 500, or with the status of a {@link WebError}. */
function failed(request: HandledRequest, { logger }: RunOptions, error: unknown): void {
  const isFault = !(error instanceof WebError);
  if (isFault) logConnectionFault(logger, error, { remote: request.remote });
  if (request.isAnswered) return isFault ? request.abandon() : undefined;
  const status = isFault ? 500 : error.status;
  const body = isFault ? "This request could not be answered.\n" : error.message;
  void request.respond({ status, headers: TEXT_HEADERS, body });
}

/** Header fields of an answer in text. */
export const TEXT_HEADERS = { "content-type": "text/plain; charset=utf-8" } as const;
