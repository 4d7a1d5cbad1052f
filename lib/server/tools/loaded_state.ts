/**
 * Loads the state of a data directory as a start would, without any change on the disk, and checks its structure: the newest
 * snapshot that can be used, and the entries after it that are known to be committed.
 */
import { StateMachine, type StructureFigures } from "../../kv/mod.ts";
import { InvariantError } from "../../platform/assert.ts";
import { DecodeError } from "../../protocol/errors.ts";
import {
  type DataDirectoryReport,
  type Disk,
  LogDamagedError,
  readEntries,
  readSnapshotStream,
  SnapshotDamagedError,
  type SnapshotReport,
  withSnapshotFile,
} from "../../storage/mod.ts";
import { foundingConfiguration } from "../membership/members.ts";
import { Replica } from "../replica.ts";
import { type LoadedSnapshot, readSnapshotState } from "../snapshot/state_codec.ts";
import type { LoadedStateReport, StateFigures } from "./tools_port.ts";

/** Bytes of log per read. */
const READ_BYTES = 4_194_304;

/** A finding: the state, or null where there is none, and the damage as sentences. */
interface Found<T> {
  readonly state: T | null;
  readonly damage: readonly string[];
}

/** Loads and checks the state of an inspected directory. `report.log` and `report.identity` are null if a start would refuse it. */
export async function loadDirectoryState(
  report: DataDirectoryReport,
  disk: Disk,
): Promise<Found<LoadedStateReport>> {
  if (report.log === null || report.identity === null) return { state: null, damage: [] };
  const damage: string[] = [];
  const start = await newestState(report, { disk, damage });
  const replica = new Replica(start.stateMachine, start.metadata);
  const reason = await applyCommitted(replica, report, disk);
  if (reason !== null) return { state: null, damage: [...damage, reason] };
  const { stateMachine } = replica;
  const checked = checkStructure(stateMachine);
  const { appliedIndex: index, revision } = stateMachine;
  const state = { index, revision, ...figuresOf(stateMachine), structure: checked.state };
  return { state, damage: [...damage, ...checked.damage] };
}

/** Returns the size of a state. */
export function figuresOf(state: StateMachine): StateFigures {
  let keyBytes = 0;
  using view = state.snapshot();
  for (const record of view.records()) if (record[0] === "key") keyBytes += record[1].length;
  const { keyCount: keys, sessionCount: sessions, leaseCount: leases, stateBytes } = state;
  const { historyBytes, compactedRevision, featureLevel } = state;
  const valueBytes = stateBytes - keyBytes;
  const { enabled, userCount: users, roleCount: roles, tokenCount: tokens } = state.auth;
  const auth = { enabled, users, roles, tokens };
  return {
    keys,
    sessions,
    leases,
    auth,
    keyBytes,
    valueBytes,
    historyBytes,
    compactedRevision,
    featureLevel,
  };
}

/** Checks the complete structure of a state. Damage of it names the page and the key. */
export function checkStructure(state: StateMachine): Found<StructureFigures> {
  try {
    return { state: state.checkStructure(), damage: [] };
  } catch (error) {
    if (!(error instanceof InvariantError)) throw error;
    const damage = `the structure of the state at index ${state.appliedIndex} is not sound. ${error.message}`;
    return { state: null, damage: [damage] };
  }
}

/** Returns the newest state that a start would use; adds the reasons against newer ones to `damage`. */
async function newestState(
  { snapshots, identity }: DataDirectoryReport,
  { disk, damage }: { readonly disk: Disk; readonly damage: string[] },
): Promise<LoadedSnapshot> {
  for (const snapshot of snapshots) {
    if (snapshot.damage !== null) continue;
    try {
      return await stateOf(snapshot, { disk, clusterId: identity?.clusterId ?? "" });
    } catch (error) {
      if (!(error instanceof SnapshotDamagedError || error instanceof DecodeError)) throw error;
      damage.push(`${snapshot.file}: ${error.message}`);
    }
  }
  const configuration = foundingConfiguration(identity?.founders ?? []);
  return { metadata: { index: 0, term: 0, configuration }, stateMachine: new StateMachine() };
}

async function stateOf(
  { file }: SnapshotReport,
  { disk, clusterId }: { readonly disk: Disk; readonly clusterId: string },
): Promise<LoadedSnapshot> {
  const yieldToEventLoop = (): Promise<void> => Promise.resolve();
  return await withSnapshotFile(
    { disk, file },
    async (source) =>
      await readSnapshotState(await readSnapshotStream(source), {
        clusterId,
        stateMachineOptions: {},
        yieldToEventLoop,
      }),
  );
}

/** Applies the entries that are known to be committed; returns the reason for which that is impossible, or null. */
async function applyCommitted(
  replica: Replica,
  { log, path }: DataDirectoryReport,
  disk: Disk,
): Promise<string | null> {
  if (log === null || log.isReset) return null;
  const { compacted, checkpoints, hardState: { commitIndex: lastIndex } } = log;
  if (replica.applied.index < compacted.index) {
    return `the log begins with entry ${
      compacted.index + 1
    }, and the newest snapshot that can be used ends with entry ` +
      `${replica.applied.index}.`;
  }
  try {
    while (replica.applied.index < lastIndex) {
      const firstIndex = replica.applied.index + 1;
      const directory = `${path}/wal`;
      replica.apply(
        await readEntries({ disk, directory, checkpoints, firstIndex, lastIndex, maxBytes: READ_BYTES }),
      );
    }
    return null;
  } catch (error) {
    if (error instanceof LogDamagedError) return error.message;
    if (!(error instanceof InvariantError || error instanceof DecodeError)) throw error;
    return `entry ${replica.applied.index + 1} cannot be applied. ${error.message}`;
  }
}
