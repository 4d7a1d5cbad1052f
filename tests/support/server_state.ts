/** State machines and snapshots for tests of lib/server. */
import { type SessionStamp, StateMachine } from "../../lib/kv/mod.ts";
import { encodeConfiguration } from "../../lib/protocol/configuration.ts";
import type { Configuration } from "../../lib/raft/mod.ts";
import { foundingConfiguration } from "../../lib/server/membership/members.ts";
import { formatVersionOf, writeState } from "../../lib/server/snapshot/state_codec.ts";
import { type Disk, SnapshotStore, type StoredSnapshot } from "../../lib/storage/mod.ts";
import { IDENTITY, SNAPSHOTS } from "./storage.ts";

/** Three nodes. */
export const THREE: Configuration = foundingConfiguration(
  [1, 2, 3].map((id) => ({ id, address: `n${id}:7001` })),
);

/** A yield that does not wait. */
export const noYield = (): Promise<void> => Promise.resolve();

/** Returns a state with one key for each of the `index` entries of its log. */
export function machineAt(index: number, valueBytes = 10): StateMachine {
  const machine = new StateMachine();
  grow(machine, index, valueBytes);
  return machine;
}

/** Applies entries up to `index`. */
export function grow(machine: StateMachine, index: number, valueBytes = 10): void {
  while (machine.appliedIndex < index) {
    const next = machine.appliedIndex + 1;
    const key = new TextEncoder().encode(`key ${next}`);
    const value = new Uint8Array(valueBytes).fill(next);
    const mutations = [{ kind: "put", key, value }] as const;
    machine.apply(next, { kind: "transaction", session: null, checks: [], mutations });
  }
}

/** Opens the snapshot store of a disk; creates its folder when missing. */
export async function openStore(disk: Disk): Promise<SnapshotStore> {
  for (const folder of ["/data", SNAPSHOTS]) if (disk.stat(folder) === null) disk.createDirectory(folder);
  return await SnapshotStore.open({ disk, directory: SNAPSHOTS });
}

/** Stores a snapshot of the machine's current state. */
export async function storeState(
  store: SnapshotStore,
  machine: StateMachine,
  { term = 1, clusterId = IDENTITY.clusterId, configuration = THREE, index = machine.appliedIndex }: {
    readonly term?: number;
    readonly clusterId?: string;
    readonly configuration?: Configuration;
    readonly index?: number;
  } = {},
): Promise<StoredSnapshot> {
  const { revision, featureLevel } = machine;
  const formatVersion = formatVersionOf(featureLevel);
  const header = {
    formatVersion,
    clusterId,
    index,
    term,
    revision,
    configuration: encodeConfiguration(configuration),
  };
  const writer = store.create(header);
  await writeState(machine.snapshot(), { write: (chunk) => writer.write(chunk), yieldToEventLoop: noYield });
  return await writer.commit();
}

/** Returns the snapshots in the store, newest first: `12@3`. */
export function storedText(store: SnapshotStore): readonly string[] {
  return store.list().map(({ index, term, damage }) =>
    `${index}@${term}${damage === null ? "" : " damaged"}`
  );
}

/** Returns the stamp of a write of session 7. */
export function stampOf(sequence: number): SessionStamp {
  return { sessionId: 7, sequence, acknowledgedBelow: 1, openedAt: 0 };
}

/** Returns the chunks of a state's records. */
export async function chunksOf(machine: StateMachine): Promise<Uint8Array[]> {
  const chunks: Uint8Array[] = [];
  using view = machine.snapshot();
  await writeState(view, { write: (chunk) => void chunks.push(chunk.slice()), yieldToEventLoop: noYield });
  return chunks;
}
