/** The two words that say how a request ended, when it was not done: why, and whether it may have happened. */
import type { ErrorCode, Outcome } from "./client_messages.ts";
import type { MessagePackReader } from "./message_pack_reader.ts";

const ERROR_CODES: Readonly<Record<ErrorCode, true>> = {
  noLeader: true,
  notLeader: true,
  leadershipLost: true,
  busy: true,
  keyTooLarge: true,
  valueTooLarge: true,
  invalidRequest: true,
  storageFull: true,
  membershipRefused: true,
  unknownKind: true,
  stopping: true,
  internal: true,
};

/** Reads an error code; one that a newer node may have added comes out as "internal", the message beside it as sent. */
export function readErrorCode(input: MessagePackReader): ErrorCode {
  const text = input.string("code");
  return isErrorCode(text) ? text : "internal";
}

/** Reads whether the request may have happened. */
export function readOutcome(input: MessagePackReader): Outcome {
  const text = input.string("outcome");
  if (text !== "not-applied" && text !== "unknown") {
    throw input.error("outcome", 'must be "not-applied" or "unknown"');
  }
  return text;
}

function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(ERROR_CODES, text);
}
