/**
 * Recovers the state of a node at its start: the newest undamaged snapshot, and the log behind it.
 *
 * A damaged snapshot is logged and skipped where the one before it and the log give the same state; where the log does not
 * reach back that far, opening the log fails.
 */
import { StateMachine, type StateMachineOptions } from "../../kv/mod.ts";
import { DecodeError } from "../../protocol/errors.ts";
import type { Logger } from "../../platform/logger.ts";
import type { Configuration, RecoveredState } from "../../raft/mod.ts";
import {
  type DataDirectory,
  type Disk,
  type Identity,
  type RecoveredLog,
  SnapshotDamagedError,
  SnapshotMissingError,
  SnapshotStore,
  SnapshotUnreadableError,
  WriteAheadLog,
  type WriteAheadLogOptions,
} from "../../storage/mod.ts";
import { foundingConfiguration } from "../membership/members.ts";
import type { YieldToEventLoop } from "../yield_to_event_loop.ts";
import { type LoadedSnapshot, readSnapshotState } from "../snapshot/state_codec.ts";

/** The recovered state of a node. */
export interface StartingPoint extends LoadedSnapshot {
  readonly snapshots: SnapshotStore;
  readonly log: WriteAheadLog;
  readonly recovered: RecoveredState;
}

/** The parts of a platform that recovery needs. */
export interface RecoverOptions {
  readonly disk: Disk;
  readonly directory: DataDirectory;
  readonly identity: Identity;
  readonly segmentBytes: number;
  readonly entryCacheBytes: number;
  readonly stateMachineOptions: StateMachineOptions;
  readonly logger: Logger;
  readonly yieldToEventLoop: YieldToEventLoop;
}

/** Loads the newest snapshot and opens the log. Rejects with the named errors of lib/storage; nothing is changed then. */
export async function recoverState(options: RecoverOptions): Promise<StartingPoint> {
  const { disk, directory, identity, segmentBytes, entryCacheBytes, logger } = options;
  const snapshots = await SnapshotStore.open({ disk, directory: directory.snapshotDirectory });
  const { newest, unreadable } = await loadNewest(snapshots, options);
  const loaded = newest ?? nothingYet(options);
  const { index, term } = loaded.metadata;
  const { log, recovered } = await openLog({
    disk,
    directory: directory.walDirectory,
    identity,
    segmentBytes,
    entryCacheBytes,
    snapshot: index === 0 ? null : { index, term },
  }, unreadable);
  noteRecovery(logger, recovered, index);
  return { ...loaded, snapshots, log, recovered: { ...recovered, snapshot: loaded.metadata } };
}

/**
 * Opens the log. Where it needs a snapshot that is missing, and one could not be read, the read error is the reason: the
 * file may be undamaged, and no data should be discarded because of it.
 */
async function openLog(
  options: WriteAheadLogOptions,
  unreadable: SnapshotUnreadableError | null,
): ReturnType<typeof WriteAheadLog.open> {
  try {
    return await WriteAheadLog.open(options);
  } catch (error) {
    if (unreadable !== null && error instanceof SnapshotMissingError) throw unreadable;
    throw error;
  }
}

/** Returns the newest undamaged snapshot, and the first error of the disk, each or null. */
async function loadNewest(
  snapshots: SnapshotStore,
  options: RecoverOptions,
): Promise<
  { readonly newest: LoadedSnapshot | null; readonly unreadable: SnapshotUnreadableError | null }
> {
  const { clusterId } = options.identity;
  let unreadable: SnapshotUnreadableError | null = null;
  for (const snapshot of snapshots.list()) {
    try {
      using reader = await snapshots.reader(snapshot);
      return { newest: await readSnapshotState(reader, { ...options, clusterId }), unreadable };
    } catch (error) {
      if (error instanceof SnapshotUnreadableError) {
        unreadable ??= error;
        options.logger.error("cannot read a snapshot; trying the one before it", { reason: error.message });
        continue;
      }
      if (!(error instanceof SnapshotDamagedError || error instanceof DecodeError)) throw error;
      options.logger.error("a snapshot is damaged; trying the one before it", { reason: error.message });
    }
  }
  return { newest: null, unreadable };
}

/** Returns the state before the first snapshot: no keys, and the first configuration of the cluster. */
function nothingYet({ identity, stateMachineOptions }: RecoverOptions): LoadedSnapshot {
  const configuration: Configuration = foundingConfiguration(identity.founders);
  return {
    metadata: { index: 0, term: 0, configuration },
    stateMachine: new StateMachine(stateMachineOptions),
  };
}

function noteRecovery(logger: Logger, recovered: RecoveredLog, snapshotIndex: number): void {
  const { lastIndex, segments, bytes, cut, hardState } = recovered;
  if (cut !== null) {
    logger.warn("cut a torn tail off the log: the last write before the crash was not finished", {
      file: cut.file,
      offset: cut.offset,
      bytes: cut.bytes,
    });
  }
  logger.info("log opened", { snapshotIndex, lastIndex, term: hardState.term, segments, bytes });
}
