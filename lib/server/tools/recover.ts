/**
 * A majority is lost for good: makes a cluster of one of the best survivor, with everything that its log has.
 *
 * What only the lost nodes had is gone, and what this node had in its log without knowing it committed becomes so: an
 * operator decides that, nobody else. The cluster has a new id, so that no lost node that turns up after all can mix
 * in. The old folder is kept beside.
 */
import { dirname } from "@std/path";
import { parseAddress } from "../../platform/address.ts";
import type { Random } from "../../platform/clock.ts";
import type { Configuration, NodeId } from "../../raft/mod.ts";
import { DataDirectory, type Disk, type Identity, readIdentity } from "../../storage/mod.ts";
import { clusterIdOf, neighboursOf } from "../startup/identity.ts";
import { foundingConfiguration, membersOf } from "../membership/members.ts";
import { FolderInUseError, makeFolder } from "../startup/new_folder.ts";
import { recoverState } from "../startup/recovered_state.ts";
import { Replica } from "../replica.ts";
import { SERVER_LIMITS, stateMachineOptionsOf } from "../config/server_limits.ts";
import { writeState } from "../snapshot/state_codec.ts";
import type { RecoverReport, RecoverRequest, RecoveryStakes } from "./tools_port.ts";

/** Bytes of log read at a time. */
const READ_BYTES = 4_194_304;
/** Size at which a log begins a new segment: small, as nothing is written to it. */
const SEGMENT_BYTES = 4_096;

/** A folder can't be recovered. */
export class RecoveryError extends Error {
  override readonly name = "RecoveryError";
  /** Stable name of this error. */
  readonly code = "cannotRecover";
}

/** What a survivor knows. */
interface Survivor {
  readonly replica: Replica;
  readonly lastIndex: number;
  readonly lastTerm: number;
  readonly commitIndex: number;
}

/** Makes the folder that of a cluster of one; null when `confirm` said no. */
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
    return await rebuildDataDirectory(survivor, { identity, stakes, platform });
  } finally {
    directory.close();
  }
}

/** Refuses a folder that can't be recovered before anything is opened, so that a wrong path is not made a folder. */
async function requireRecoverable(dataDir: string, disk: Disk): Promise<void> {
  const { old, fresh } = neighboursOf(dataDir);
  if (disk.stat(dataDir) === null && disk.stat(old) !== null && disk.stat(fresh) !== null) {
    throw new RecoveryError(
      `Cannot recover ${dataDir}: it was recovered before, all but its name. Run \`mv ${fresh} ${dataDir}\`.`,
    );
  }
  if (await readIdentity({ disk, path: dataDir }) === null) {
    throw new RecoveryError(`Cannot recover ${dataDir}: it is nobody's data folder.`);
  }
  for (const path of [old, fresh]) {
    if (disk.stat(path) === null) continue;
    // An interrupted recovery, which nothing was started from: it is begun anew.
    if (path === fresh && DataDirectory.isLeftover({ disk, path })) continue;
    throw new FolderInUseError(
      `Cannot recover ${dataDir}: ${path} is in the way, from an earlier recovery. Move it away first.`,
    );
  }
}

function ownerOf(directory: DataDirectory, { dataDir, nodeId }: RecoverRequest): Identity {
  const { identity } = directory;
  if (identity === null) throw new RecoveryError(`Cannot recover ${dataDir}: it is nobody's data folder.`);
  if (nodeId !== null) directory.requireOwner({ nodeId, clusterName: null, clusterId: null });
  return identity;
}

/** Everything that the folder has, applied. */
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
      `Cannot recover ${dataDir}: node ${nodeId} was never a member, so it has nothing that counts.`,
    );
  }
  if (lastIndex === 0) {
    throw new RecoveryError(
      `Cannot recover ${dataDir}: its log is empty. Begin with a new folder and --cluster.`,
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

/** Makes the new folder beside, and gives it the old one's name. */
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
  await makeFolder({
    disk,
    random,
    path: fresh,
    identity: { clusterId, clusterName, nodeId, founders },
    index: lastIndex,
    term: lastTerm,
    revision: view.revision,
    configuration: singleVoterConfiguration(replica.applied.configuration, founders),
    advice:
      `Run \`kvraft server recover --data-dir ${dataDir}\` once more: it begins anew. Or remove this directory.`,
    isNamedLater: true,
    writeChunks: (write) => writeState(view, { write, yieldToEventLoop: () => Promise.resolve() }),
  });
  disk.rename(dataDir, old);
  disk.rename(fresh, dataDir);
  // Without it a loss of power could bring the old node back, whose cluster is told to be gone.
  disk.syncDirectory(dirname(dataDir));
  DataDirectory.finishAt({ disk, path: dataDir });
  return { clusterId, nodeId, address, lastIndex };
}

/** The founder alone; everybody else's id is spent. */
function singleVoterConfiguration(
  { members, removedIds }: Configuration,
  founders: readonly { readonly id: NodeId; readonly address: string }[],
): Configuration {
  const ids = founders.map(({ id }) => id);
  const spent = new Set([...removedIds, ...members.map(({ id }) => id)].filter((id) => !ids.includes(id)));
  return { ...foundingConfiguration(founders), removedIds: [...spent].sort((a, b) => a - b) };
}
