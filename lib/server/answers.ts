/** How a write ends for whoever asked for it: a client of this node, or a node that passed it on. */
import type { ErrorCode, Outcome } from "../protocol/messages.ts";

/** Why a request was not done, and whether it may have happened all the same. */
export interface ErrorAnswer {
  readonly kind: "error";
  readonly code: ErrorCode;
  /** A sentence for a person. */
  readonly message: string;
  readonly outcome: Outcome;
}

/** The end of a write: the encoded result of applying it, good while the answer is taken, or why there is none. */
export type WriteAnswer = { readonly kind: "result"; readonly result: Uint8Array } | ErrorAnswer;

/** A refusal of something that did not happen and will not. */
export function notApplied(code: ErrorCode, message: string): ErrorAnswer {
  return { kind: "error", code, message, outcome: "not-applied" };
}

/** A refusal of a write that may have happened, or may happen yet. */
export function unknownOutcome(code: ErrorCode, message: string): ErrorAnswer {
  return { kind: "error", code, message, outcome: "unknown" };
}
