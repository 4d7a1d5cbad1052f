/** Errors of the protocol: bytes that could not be decoded, and hellos that were refused. */

/** Bytes that are not what they should be. The message names what was being read and the field that was wrong. */
export class DecodeError extends Error {
  override readonly name: string = "DecodeError";
  /** Stable name of this error. */
  readonly code: "decode" | "unknownKind" = "decode";
}

/** A well-formed frame of a kind that this version does not know. The connection it came on is still good. */
export class UnknownKindError extends DecodeError {
  override readonly name = "UnknownKindError";
  override readonly code = "unknownKind";
  /** The number that stood where a known kind was expected. */
  readonly kind: number;

  /** `what` says what was being read, such as "a client request". */
  constructor(what: string, kind: number) {
    super(`Cannot decode ${what}: kind ${kind} is not known to this version.`);
    this.kind = kind;
  }
}

/** Why a node does not take a connection; what a refusal frame carries. Stable: docs/protocol.md lists them. */
export const REFUSAL_CODES = [
  /** The first frame was no hello of this protocol. */
  "badHello",
  /** No protocol version is spoken by both ends. */
  "versionMismatch",
  /** The connection is meant for another cluster. */
  "wrongCluster",
  /** A peer whose node id may not call here, or is this node's own. */
  "unknownNode",
  /** A peer that was removed from the cluster, for good. */
  "removedNode",
  /** A peer that comes with another data folder than the one it is known by: what it promised may be lost. */
  "otherData",
  /** Too many connections; try again later, or try another node. */
  "busy",
] as const;

/** One of {@link REFUSAL_CODES}. */
export type RefusalCode = typeof REFUSAL_CODES[number];

/**
 * The other end answered the hello, but not with a welcome that can be used: it refused (its code), or it is another
 * node than the one dialled (`wrongNode`), or what it said is not this protocol (`notKvraft`).
 */
export class HandshakeError extends Error {
  override readonly name = "HandshakeError";
  /** Stable name of the reason. */
  readonly code: RefusalCode | "wrongNode" | "notKvraft";

  /** `message` is a whole sentence. */
  constructor(code: RefusalCode | "wrongNode" | "notKvraft", message: string) {
    super(message);
    this.code = code;
  }
}
