/**
 * The keys of a namespace as a map that follows every change: the state as of one revision, then that of each later revision
 * which changed a key. The programs live_configuration.ts and service_registry.ts use it.
 *
 * It watches from the revision after the one that it read. A watch that began "now" would miss the changes between the read
 * and the watch.
 */
import type { KeyspaceClient, KeyValue } from "@kvraft/kvraft";

/** All keys and their values as of a revision. */
export interface LiveEntries {
  readonly revision: number;
  /** The same map each time; it changes with the next one. */
  readonly entries: ReadonlyMap<string, string>;
}

/**
 * Yields the state, and each later one. Goes on through the loss of nodes; if the history that it needs is compacted
 * meanwhile, it goes on from the present state (`resync`).
 */
export async function* liveEntries(keys: KeyspaceClient): AsyncGenerator<LiveEntries, void, void> {
  const entries = new Map<string, string>();
  const put = ({ key, value }: KeyValue): void => void entries.set(text(key), text(value));

  const { revision } = await keys.list({ limit: 1 });
  let cursor: string | null = null;
  do {
    const page: Awaited<ReturnType<typeof keys.list>> = await keys.list({ revision, cursor, limit: 1_000 });
    page.entries.forEach(put);
    cursor = page.cursor;
  } while (cursor !== null);
  yield { revision, entries };

  for await (const batch of keys.watch({ from: revision + 1, resync: true })) {
    if (batch.kind === "reset") {
      entries.clear();
      batch.entries.forEach(put);
    } else if (batch.kind === "events") {
      for (const event of batch.events) {
        if (event.kind === "put") put(event.entry);
        else entries.delete(text(event.key));
      }
    }
    yield { revision: batch.revision, entries };
  }
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
