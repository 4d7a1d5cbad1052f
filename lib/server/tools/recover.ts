/**
 * Makes a cluster of one node out of a survivor, with all entries of its log, after a majority was lost for good.
 *
 * Writes that only the lost nodes had are lost, and entries of the survivor that were not known to be committed become so:
 * only an operator can decide that. The cluster gets a new id, so that a lost node that returns is refused. The old directory
 * is kept under another name.
 */
import { dirname } from "@std/path";
import { parseAddress } from "../../platform/address.ts";
import type { Random } from "../../platform/clock.ts";
import type { Configuration, NodeId } from "../../raft/mod.ts";
import { DataDirectory, type Disk, type Identity, readIdentity } from "../../storage/mod.ts";
import { clusterIdOf, neighboursOf } from "../startup/identity.ts";
import { foundingConfiguration, membersOf } from "../membership/members.ts";
import { DirectoryInUseError, makeDirectory } from "../startup/new_directory.ts";
import { recoverState } from "../startup/recovered_state.ts";
import { Replica } from "../replica.ts";
import { SERVER_LIMITS, stateMachineOptionsOf } from "../config/server_limits.ts";
import { formatVersionOf, writeState } from "../snapshot/state_codec.ts";
import type { RecoverReport, RecoverRequest, RecoveryStakes } from "./tools_port.ts";

/** Bytes of log per read. */
const READ_BYTES = 4_194_304;
/** Segment size of a log that is only read. */
const SEGMENT_BYTES = 4_096;

/** A directory cannot be recovered. */
export class RecoveryError extends Error {
  override readonly name = "RecoveryError";
  /** Stable name of this error. */
  readonly code = "cannotRecover";
}

/** The state of a survivor. */
interface Survivor {
  readonly replica: Replica;
  readonly lastIndex: number;
  readonly lastTerm: number;
  readonly commitIndex: number;
}

/** Makes the directory that of a cluster of one node; null when `confirm` returned false. */
export async function recover(
  request: RecoverRequest,
  platform: { readonly disk: Disk; readonly random: Random },
): Promise<RecoverReport | null> {
  const { disk } = platform;
  const dataDir = request.dataDir.replace(/(?<=.)\/+$/, "");
  await requireRecoverable(dataDir, disk);
  const directory = await DataDirectory.open({ disk, path: dataDir });
  try {
    const identity = ownerOf(directory, request);
    const survivor = await loadSurvivor(directory, identity, disk);
    const stakes = stakesOf(survivor, { dataDir, identity, request });
    if (!await request.confirm(stakes)) return null;
    if (request.disablesAuth) {
      survivor.replica.stateMachine.auth.change({ kind: "setEnabled", enabled: false });
    }
    return await rebuildDataDirectory(survivor, { identity, stakes, platform });
  } finally {
    directory.close();
  }
}

/** Refuses a directory that cannot be recovered before anything is opened, so that no directory is made at a wrong path. */
async function requireRecoverable(dataDir: string, disk: Disk): Promise<void> {
  const { old, fresh } = neighboursOf(dataDir);
  if (disk.stat(dataDir) === null && disk.stat(old) !== null && disk.stat(fresh) !== null) {
    throw new RecoveryError(
      `Cannot recover ${dataDir}: it was recovered before, but not renamed. Run \`mv ${fresh} ${dataDir}\`.`,
    );
  }
  if (await readIdentity({ disk, path: dataDir }) === null) {
    throw new RecoveryError(`Cannot recover ${dataDir}: it is not the data directory of a node.`);
  }
  for (const path of [old, fresh]) {
    if (disk.stat(path) === null) continue;
    // An interrupted recovery, from which no server was started: recover again from the beginning.
    if (path === fresh && DataDirectory.isLeftover({ disk, path })) continue;
    throw new DirectoryInUseError(
      `Cannot recover ${dataDir}: ${path} exists from an earlier recovery. Move it away first.`,
    );
  }
}

function ownerOf(directory: DataDirectory, { dataDir, nodeId }: RecoverRequest): Identity {
  const { identity } = directory;
  if (identity === null) {
    throw new RecoveryError(`Cannot recover ${dataDir}: it is not the data directory of a node.`);
  }
  if (nodeId !== null) directory.requireOwner({ nodeId, clusterName: null, clusterId: null });
  return identity;
}

/** Returns the state after all entries of the directory. */
async function loadSurvivor(directory: DataDirectory, identity: Identity, disk: Disk): Promise<Survivor> {
  const silent = (): void => {};
  const { log, recovered, stateMachine, metadata } = await recoverState({
    disk,
    directory,
    identity,
    segmentBytes: SEGMENT_BYTES,
    entryCacheBytes: 0,
    stateMachineOptions: stateMachineOptionsOf(SERVER_LIMITS),
    logger: { debug: silent, info: silent, warn: silent, error: silent },
    yieldToEventLoop: () => Promise.resolve(),
  });
  try {
    const replica = new Replica(stateMachine, metadata);
    const { lastIndex, hardState, termRanges } = recovered;
    while (replica.applied.index < lastIndex) {
      replica.apply(await log.readEntries(replica.applied.index + 1, READ_BYTES));
    }
    const lastTerm = termRanges.at(-1)?.term ?? metadata.term;
    const commitIndex = Math.max(hardState.commitIndex, metadata.index);
    return { replica, lastIndex, lastTerm, commitIndex };
  } finally {
    await log.close();
  }
}

function stakesOf(
  { replica, lastIndex, lastTerm, commitIndex }: Survivor,
  { dataDir, identity, request }: {
    readonly dataDir: string;
    readonly identity: Identity;
    readonly request: RecoverRequest;
  },
): RecoveryStakes {
  const { configuration } = replica.applied;
  const { nodeId, clusterId } = identity;
  const record = configuration.members.find(({ id }) => id === nodeId);
  const address = request.address ?? record?.address ?? null;
  if (address === null) {
    throw new RecoveryError(
      `Cannot recover ${dataDir}: node ${nodeId} was never a member, so it has no data of the cluster.`,
    );
  }
  if (lastIndex === 0) {
    throw new RecoveryError(
      `Cannot recover ${dataDir}: its log is empty. Begin with a new directory and --cluster.`,
    );
  }
  return {
    dataDir,
    clusterId,
    nodeId,
    address,
    members: membersOf(configuration),
    lastIndex,
    lastTerm,
    commitIndex,
  };
}

/** Makes the new directory under another name, then gives it the old directory's name. */
async function rebuildDataDirectory(
  { replica, lastIndex, lastTerm }: Survivor,
  { identity, stakes, platform }: {
    readonly identity: Identity;
    readonly stakes: RecoveryStakes;
    readonly platform: { readonly disk: Disk; readonly random: Random };
  },
): Promise<RecoverReport> {
  const { disk, random } = platform;
  const { dataDir, nodeId, address } = stakes;
  const { clusterName } = identity;
  const members = [{ id: nodeId, address: parseAddress(address) }];
  const origin = ["recovered from", identity.clusterId, String(lastIndex), String(random())];
  const clusterId = clusterIdOf(clusterName, members, origin);
  using view = replica.stateMachine.snapshot();
  const founders = [{ id: nodeId, address }];
  const { old, fresh } = neighboursOf(dataDir);
  await makeDirectory({
    disk,
    random,
    path: fresh,
    identity: { clusterId, clusterName, nodeId, founders },
    index: lastIndex,
    term: lastTerm,
    revision: view.revision,
    formatVersion: formatVersionOf(view.featureLevel),
    configuration: singleVoterConfiguration(replica.applied.configuration, founders),
    advice:
      `Run \`kvraft server recover --data-dir ${dataDir}\` again: it starts from the beginning. Or remove this directory.`,
    isNamedLater: true,
    writeChunks: (write) => writeState(view, { write, yieldToEventLoop: () => Promise.resolve() }),
  });
  disk.rename(dataDir, old);
  disk.rename(fresh, dataDir);
  // Without this a power loss could restore the old node, whose cluster no longer exists.
  disk.syncDirectory(dirname(dataDir));
  DataDirectory.finishAt({ disk, path: dataDir });
  return { clusterId, nodeId, address, lastIndex };
}

/** Returns a configuration whose only member is the founder; the ids of all other members cannot be used again. */
function singleVoterConfiguration(
  { members, removedIds }: Configuration,
  founders: readonly { readonly id: NodeId; readonly address: string }[],
): Configuration {
  const ids = founders.map(({ id }) => id);
  const spent = new Set([...removedIds, ...members.map(({ id }) => id)].filter((id) => !ids.includes(id)));
  return { ...foundingConfiguration(founders), removedIds: [...spent].sort((a, b) => a - b) };
}
