/** The actions of the model, and their encoding as a number. */
import { assert } from "../../lib/platform/assert.ts";

const KINDS = [
  /** A message arrives, and is removed from the network or stays in it. */
  "deliver",
  "repeat",
  /** A follower receives nothing from its leader for an election timeout; a node campaigns; a leader sends heartbeats. */
  "lapse",
  "campaign",
  "heartbeat",
  /** A disk write completes; a crash loses it, and the node restarts. */
  "sync",
  "restart",
  "propose",
  "read",
  "transfer",
  /** A leader gets a report that its messages to a node may be lost. */
  "reconnect",
  /** A node takes a snapshot at its applied index, and cuts its log there. */
  "compact",
] as const;

/** Kind of an action. */
export type ActionKind = typeof KINDS[number];

/** An action on one node. */
export interface Action {
  readonly kind: ActionKind;
  /** Position of the node. */
  readonly node: number;
  /** For an arrival, the position of the message, from 0; for transfer and reconnect, the relative id of the other node. */
  readonly argument: number;
}

/** Number of bits for lost messages. */
export const MAX_LOSABLE = 22;

/** Packs an action and the bits of the messages that it loses because the network is full. */
export function packAction({ kind, node, argument }: Action, lost: number): number {
  return (KINDS.indexOf(kind) | node << 4 | argument << 6 | lost << 10) >>> 0;
}

/** Unpacks an action. */
export function unpackAction(word: number): { readonly action: Action; readonly lost: number } {
  const kind = KINDS[word & 15];
  assert(kind !== undefined, "only actions are packed");
  return { action: { kind, node: word >>> 4 & 3, argument: word >>> 6 & 15 }, lost: word >>> 10 };
}
