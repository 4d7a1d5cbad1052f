/** The things that can happen in a small world, and how one is kept as a number. */
import { assert } from "../../lib/platform/assert.ts";

const KINDS = [
  /** A message arrives, and is gone or is still under way. */
  "deliver",
  "repeat",
  /** The leader falls silent for a follower; a node's election timer runs out; a leader's heartbeats are due. */
  "lapse",
  "campaign",
  "heartbeat",
  /** A write ends; a crash loses it, and the node restarts. */
  "sync",
  "restart",
  "propose",
  "read",
  "transfer",
  /** A leader is told that what it sent to a node may be lost. */
  "reconnect",
  /** A node takes a snapshot of all that it has applied, and cuts its log there. */
  "compact",
] as const;

/** What happens. */
export type ActionKind = typeof KINDS[number];

/** One thing that happens to one node. */
export interface Action {
  readonly kind: ActionKind;
  /** Position of the node. */
  readonly node: number;
  /** Of an arrival: which message, counted from 0; of transfer and reconnect: the other node, as seen by this one. */
  readonly argument: number;
}

/** Bits that say which messages are lost. */
export const MAX_LOSABLE = 22;

/** Packs an action, and which messages are lost to it for want of room (as bits). */
export function packAction({ kind, node, argument }: Action, lost: number): number {
  return (KINDS.indexOf(kind) | node << 4 | argument << 6 | lost << 10) >>> 0;
}

/** Takes a packed action apart. */
export function unpackAction(word: number): { readonly action: Action; readonly lost: number } {
  const kind = KINDS[word & 15];
  assert(kind !== undefined, "only actions are packed");
  return { action: { kind, node: word >>> 4 & 3, argument: word >>> 6 & 15 }, lost: word >>> 10 };
}
