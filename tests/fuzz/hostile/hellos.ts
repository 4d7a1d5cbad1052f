/** Valid first frames of a connection, so that hostile frames follow them. */
import { encode } from "@std/msgpack";
import { PEER_NONCE_BYTES, ROLES } from "../../../lib/protocol/hello.ts";
import { FRAME_KIND } from "../../support/frames/kinds.ts";
import type { Knowledge } from "./frames.ts";

const NONCE = new Uint8Array(PEER_NONCE_BYTES).fill(7);

/** The role that a hostile program takes. */
export type Guise = "client" | "peer";

/** Returns the hello of a member or a client. */
export function helloOf(
  { clusterId, self, address, to, peerKeyIds }: Knowledge,
  { guise, lane }: { readonly guise: Guise; readonly lane: number },
): Uint8Array {
  const head = [FRAME_KIND.hello, "kvraft", 1, 1];
  const credentials = peerKeyIds.length === 0 ? null : [[...peerKeyIds], NONCE, to];
  return guise === "client"
    ? encode([...head, ROLES.client, null, null, null, null, null, null])
    : encode([...head, ROLES.peer, clusterId, self, lane, credentials, self, address]);
}

/** Returns the welcome of a member. */
export function welcomeOf({ clusterId, self, term, lastIndex, address }: Knowledge): Uint8Array {
  const limits = [4_096, 1_048_576, 16_777_216];
  const members = [[self, address, "voter"]];
  return encode([FRAME_KIND.welcome, 1, clusterId, self, null, term, lastIndex, members, limits, self]);
}
