/**
 * The proofs by which two nodes show each other that they know the peer secret, without sending it. Pure: randomness and
 * sockets are in peer_authentication.ts.
 *
 *     K   = HKDF-SHA-256(secret, salt "kvraft peer secret 1", info clusterId, 32 bytes)
 *     id  = the first 8 bytes of SHA-256("id" ‖ K)
 *     T   = "kvraft-peer-auth-1" ‖ hello as sent ‖ challenge as sent ‖ binding
 *     dialler's proof    HMAC-SHA-256(K, "dialer" ‖ T)
 *     accepter's proof   HMAC-SHA-256(K, "accepter" ‖ T ‖ dialler's proof ‖ its answer)
 *
 * ‖ joins fields, each after its length. The dialler proves first, so that the accepter proves nothing to a caller that
 * does not know the secret. Every field of T prevents an attack:
 *
 * - The random numbers in the hello and in the challenge: an exchange of earlier cannot be replayed, to either end.
 * - The names "dialer" and "accepter": a node's proof cannot be sent back to it as the other end's.
 * - Both node ids in the hello, and the one in the challenge: an exchange cannot be passed on to a third node.
 * - The complete hello: its versions, lane, data id and feature level cannot be changed.
 * - The cluster's id, also in K: a secret that two clusters share makes no proof of one count in the other.
 * - The binding, the certificate of a TLS connection: a node between the two, with a certificate of its own, is noticed.
 *
 * The accepter's answer is in its proof, so that no node in between can exchange the data id of a welcome, or turn a welcome into the
 * refusal that stops a node.
 */
import { createHash, createHmac, hkdfSync, timingSafeEqual } from "node:crypto";
import { PEER_KEY_ID_BYTES } from "../../protocol/hello.ts";
import type { Refusal, Welcome } from "../../protocol/hello.ts";

/** A key that is derived from a secret for one cluster. */
export interface PeerKey {
  /** Identifies the key; not secret. */
  readonly id: Uint8Array;
  /** The id in hexadecimal. */
  readonly name: string;
  /** Secret. */
  readonly bytes: Uint8Array;
}

/** The part of a handshake that both proofs cover. */
export interface Transcript {
  /** The payload of the hello, as it was sent. */
  readonly hello: Uint8Array;
  /** The payload of the challenge, as it was sent. */
  readonly challenge: Uint8Array;
  /** See `ConnectionSecurity.binding`. */
  readonly binding: Uint8Array | null;
}

const SALT = "kvraft peer secret 1";
const PROTOCOL = "kvraft-peer-auth-1";
const KEY_BYTES = 32;
const PLAIN = "plain";
const UTF8 = new TextEncoder();

/** Derives the key of a secret for a cluster. */
export function peerKeyOf(secret: string, clusterId: string): PeerKey {
  const bytes = new Uint8Array(hkdfSync("sha256", secret, SALT, clusterId, KEY_BYTES));
  const id = createHash("sha256").update("id").update(bytes).digest().subarray(0, PEER_KEY_ID_BYTES);
  return { id: Uint8Array.from(id), name: id.toString("hex"), bytes };
}

/** Returns the proof of the node that has dialled. */
export function diallerProof(key: PeerKey, transcript: Transcript): Uint8Array {
  return mac(key, ["dialer", ...fieldsOf(transcript)]);
}

/** Returns the proof of the node that was dialled, with its welcome, whose own proof is not read. */
export function welcomeProof(
  key: PeerKey,
  transcript: Transcript,
  { proof, welcome }: { readonly proof: Uint8Array; readonly welcome: Welcome },
): Uint8Array {
  const { clusterId, nodeId, dataId, featureLevel } = welcome;
  const answer = ["welcome", clusterId, String(nodeId), String(dataId), String(featureLevel)];
  return mac(key, ["accepter", ...fieldsOf(transcript), proof, ...answer]);
}

/** Returns the proof of the node that was dialled, with its refusal, whose own proof is not read. */
export function refusalProof(
  key: PeerKey,
  transcript: Transcript,
  { proof, refusal }: { readonly proof: Uint8Array; readonly refusal: Pick<Refusal, "code"> },
): Uint8Array {
  return mac(key, ["accepter", ...fieldsOf(transcript), proof, "refusal", refusal.code]);
}

/** Returns whether two proofs are equal, in a time that does not depend on where they differ. */
export function isSameProof(expected: Uint8Array, given: Uint8Array): boolean {
  return expected.length === given.length && timingSafeEqual(expected, given);
}

function fieldsOf({ hello, challenge, binding }: Transcript): readonly (string | Uint8Array)[] {
  return [PROTOCOL, hello, challenge, binding ?? PLAIN];
}

/** Returns the HMAC of fields, each after its length in four bytes. */
function mac({ bytes }: PeerKey, fields: readonly (string | Uint8Array)[]): Uint8Array {
  const hmac = createHmac("sha256", bytes);
  const length = new Uint8Array(4);
  for (const field of fields) {
    const content = typeof field === "string" ? UTF8.encode(field) : field;
    new DataView(length.buffer).setUint32(0, content.length);
    hmac.update(length).update(content);
  }
  return Uint8Array.from(hmac.digest());
}
