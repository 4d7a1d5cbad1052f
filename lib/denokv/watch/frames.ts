/**
 * The frames of KV Connect's `watch`: four bytes of length, little-endian, and a `WatchOutput`. A frame of length 0 says
 * that the server is alive.
 */
import type { KeyValue } from "../../kv/command.ts";
import { encodeWatchOutput } from "../datapath_output.ts";

const LENGTH_BYTES = 4;
/** A frame of length 0. */
export const PING_FRAME: Uint8Array = new Uint8Array(LENGTH_BYTES);

/** The entries of the keys of a watch as of one revision, and the frames that report them. */
export class WatchedState {
  readonly revision: number;
  /** The `modRevision` of each entry; 0 for null. It is all that is remembered of a state that a client was sent. */
  readonly versions: readonly number[];
  /** In the order of the watch's keys; null for a key that does not exist. */
  readonly #entries: readonly (KeyValue | null)[];
  /** The frames so far, by the versions that the client was sent before. */
  readonly #frames = new Map<string | null, Uint8Array>();

  constructor(revision: number, entries: readonly (KeyValue | null)[]) {
    this.revision = revision;
    this.versions = entries.map((entry) => entry?.modRevision ?? 0);
    this.#entries = entries;
  }

  /** Whether a client that was sent these versions lacks a change. */
  differsFrom(sent: readonly number[]): boolean {
    return this.versions.some((version, position) => version !== sent[position]);
  }

  /**
   * Returns the frame with the entries that differ from those that the client was sent, or with all of them for null: the
   * first frame of a watch must have them. Clients that were sent the same state get the same bytes.
   */
  frameAfter(sent: readonly number[] | null): Uint8Array {
    const name = sent?.join() ?? null;
    const known = this.#frames.get(name);
    if (known !== undefined) return known;
    const frame = toFrame(
      encodeWatchOutput(
        this.#entries.map((entry, position) =>
          sent !== null && this.versions[position] === sent[position]
            ? { changed: false }
            : { changed: true, entry }
        ),
      ),
    );
    this.#frames.set(name, frame);
    return frame;
  }
}

function toFrame(message: Uint8Array): Uint8Array {
  const frame = new Uint8Array(LENGTH_BYTES + message.length);
  new DataView(frame.buffer).setUint32(0, message.length, true);
  frame.set(message, LENGTH_BYTES);
  return frame;
}
