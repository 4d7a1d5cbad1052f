/** Errors of the protocol: bytes that could not be decoded, and hellos that were refused. */

/** Bytes that break the format. The message names the frame, the field and the expected value. */
export class DecodeError extends Error {
  override readonly name: string = "DecodeError";
  /** Stable name of this error. */
  readonly code: "decode" | "unknownKind" = "decode";
}

/** A well-formed frame of a kind that this version does not know. The connection stays open. */
export class UnknownKindError extends DecodeError {
  override readonly name = "UnknownKindError";
  override readonly code = "unknownKind";
  /** The number of the unknown kind. */
  readonly kind: number;

  /** `what` names the bytes, such as "a client's frame". */
  constructor(what: string, kind: number) {
    super(`Cannot decode ${what}: kind ${kind} is not known to this version.`);
    this.kind = kind;
  }
}

/** Reasons for which a node refuses a connection. Stable: docs/protocol.md lists them. */
export const REFUSAL_CODES = [
  /** The first frame was no hello of this protocol. */
  "badHello",
  /** No protocol version is supported by both ends. */
  "versionMismatch",
  /** The connection is meant for another cluster. */
  "wrongCluster",
  /** A peer whose node id is not a member's, or is this node's own. */
  "unknownNode",
  /** A peer that was removed from the cluster, for good. */
  "removedNode",
  /** A peer whose data directory is not the one in the configuration: its vote and acknowledged entries may be lost. */
  "otherData",
  /** A peer that has not proved that it belongs to the cluster: without the secret, or with another node's certificate. */
  "peerNotAuthenticated",
  /** The node takes connections with a certificate only. */
  "certificateRequired",
  /** The certificate is not of the node's authority, or not valid now; the message says of whom it is and why. */
  "certificateRefused",
  /** Too many connections; try again later, or try another node. */
  "busy",
] as const;

/** One of {@link REFUSAL_CODES}. */
export type RefusalCode = typeof REFUSAL_CODES[number];

/**
 * A handshake that failed: the other end refused (its code), is not the node that was dialled (`wrongNode`), or does not
 * speak this protocol (`notKvraft`), or speaks it over TLS only (`tlsRequired`).
 */
export class HandshakeError extends Error {
  override readonly name = "HandshakeError";
  /** Stable name of the reason. */
  readonly code: RefusalCode | "wrongNode" | "notKvraft" | "tlsRequired";

  /** `message` is a whole sentence. */
  constructor(code: HandshakeError["code"], message: string) {
    super(message);
    this.code = code;
  }
}
