/** The fields that answers between nodes and answers to clients have in common. */
import { MAX_FOREIGN_MESSAGE_CHARACTERS, shortened } from "../platform/errors.ts";
import type { ErrorCode, Outcome } from "./messages.ts";
import { MAX_RESULT_BYTES } from "./frame_bounds.ts";
import type { MessagePackReader } from "./msgpack_reader.ts";

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

/** Reads the sentence beside an error code. It is cut, since it may be passed on within another frame. */
export function readMessageText(input: MessagePackReader): string {
  return shortened(input.string("message"), MAX_FOREIGN_MESSAGE_CHARACTERS);
}

/** Reads an encoded result, whose bytes may be passed on within another frame. */
export function readResultBytes(input: MessagePackReader): Uint8Array {
  const result = input.binary("result");
  if (result.length <= MAX_RESULT_BYTES) return result;
  throw input.error("result", `must not be longer than ${MAX_RESULT_BYTES} bytes`);
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
