/** Reads all keys of a watch as of one revision, for a watch whose history is compacted. */
import type { KeySet } from "../../kv/branching_command.ts";
import type { KeyValue, ListQuery } from "../../kv/command.ts";
import { pause } from "../../platform/promise.ts";
import type { ClientCore } from "../core.ts";
import { CompactedError } from "../errors.ts";
import { readPage } from "../reads/listing.ts";
import { backoffMs } from "../retry.ts";
import type { WatchPlan } from "./input.ts";

/** Entries of a page. */
const PAGE_ENTRIES = 1_000;
const ACTION = "read the keys of a watch";

/** Keys as of one revision, in byte order. */
export interface KeyStates {
  readonly revision: number;
  readonly entries: readonly KeyValue[];
}

/** Returns all keys of a set as of one revision that is not older than the call. Rejects with a KvraftError. */
export async function readKeys(
  core: ClientCore,
  { keys, visibleOnly }: Pick<WatchPlan, "keys" | "visibleOnly">,
  signal: AbortSignal,
): Promise<KeyStates> {
  if (keys.kind === "key" && !visibleOnly) {
    const request = { kind: "get", key: keys.key, consistency: "linearizable" } as const;
    const notes = { kind: "read", action: ACTION, context: core.context({ signal }) } as const;
    const { message: { entry, revision } } = await core.call(request, notes);
    return { revision, entries: entry === null ? [] : [entry] };
  }
  for (let attempt = 0;; attempt++) {
    try {
      return await readRange(core, { ...rangeOf(keys), visibleOnly }, signal);
    } catch (error) {
      // The revision of the first page was compacted before the last page was read.
      if (!(error instanceof CompactedError)) throw error;
      await pause(backoffMs(attempt, core.random), { clock: core.clock, signal });
    }
  }
}

/** A range of keys; `end` is null for one without an end. */
type KeyRange = Omit<Extract<KeySet, { readonly kind: "range" }>, "kind">;

function rangeOf(keys: KeySet): KeyRange {
  if (keys.kind === "range") return keys;
  const { key } = keys;
  const end = new Uint8Array(key.length + 1); // the next key in byte order
  end.set(key);
  return { start: key, end };
}

async function readRange(
  core: ClientCore,
  { start, end, visibleOnly }: KeyRange & Pick<WatchPlan, "visibleOnly">,
  signal: AbortSignal,
): Promise<KeyStates> {
  const query: ListQuery = {
    prefix: new Uint8Array(0),
    start: start.length === 0 ? null : start,
    end,
    after: null,
    reverse: false,
    limit: PAGE_ENTRIES,
  };
  const first = await readPage(core, { query, revision: null, visibleOnly, keysOnly: false }, { signal });
  const entries = [...first.entries];
  for (let page = first; page.more;) {
    const after = page.after ?? page.entries.at(-1)?.key ?? null;
    const { revision } = first;
    page = await readPage(core, { query: { ...query, after }, revision, visibleOnly, keysOnly: false }, {
      signal,
    });
    entries.push(...page.entries);
  }
  return { revision: first.revision, entries };
}
