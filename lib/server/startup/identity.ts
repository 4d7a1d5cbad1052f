/**
 * The identity of a data directory: read from it, or made for a new one, as a founder of a new cluster or as a node that joins
 * a running one.
 *
 * After the first start the directory names the cluster of its node, and the replicated configuration names the members:
 * `--cluster` and `--join` take effect only once.
 */
import { errorMessage, shortened, wrongPathReason } from "../../platform/errors.ts";
import { formatAddress, isDialable } from "../../platform/address.ts";
import { FEATURE_LEVEL } from "../../kv/mod.ts";
import { type NodeAddress } from "../../protocol/node_list.ts";
import type { Clock, Random } from "../../platform/clock.ts";
import { pause } from "../../platform/promise.ts";
import type { Welcome } from "../../protocol/hello.ts";
import type { Logger } from "../../platform/logger.ts";
import type { Address, Network } from "../../platform/network.ts";
import { probeAny, probePeer } from "../../transport/dial.ts";
import type { PeerSecretFile } from "./peer_secret_file.ts";
import { isForbidden } from "../../platform/disk.ts";
import { type DataDirectory, type Disk, type Identity, readIdentity } from "../../storage/mod.ts";
import type { ServerConfig } from "../config/config.ts";
import { ConfigError } from "../config/config_file.ts";
import { createHash } from "node:crypto";

/** Number of attempts of a joining node to reach the cluster, and the time between them. */
const JOIN_ATTEMPTS = 30;
const JOIN_PAUSE_MS = 1_000;
/** Upper bound of data ids: large enough that no two are equal by chance. */
const DATA_IDS = 2 ** 48;

/** A joining node cannot reach its cluster. */
export class JoinError extends Error {
  override readonly name: string = "JoinError";
  /** Stable name of this error. */
  readonly code: string = "cannotJoin";
}

/** The cluster has this node as a member, but its data directory is empty: its votes and entries are lost for good. */
export class DirectoryLostError extends JoinError {
  override readonly name = "DirectoryLostError";
  override readonly code = "folderLost";
}

/** The parts of a platform that an identity needs. */
export interface IdentityOptions {
  readonly config: ServerConfig;
  readonly directory: DataDirectory;
  /** The peer secret; null without one. */
  readonly peerSecret: PeerSecretFile | null;
  readonly network: Network;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Ends the attempts to join. */
  readonly signal: AbortSignal;
}

/**
 * Returns the identity of the directory; makes one for a new directory, durably. Rejects with {@link JoinError}, the errors of
 * lib/storage, and the signal's reason.
 */
export async function establishIdentity(options: IdentityOptions): Promise<Identity> {
  const { directory } = options;
  if (directory.identity !== null) return checked(directory.identity, options);
  const identity = await newIdentity(options);
  directory.found(identity);
  return identity;
}

/** Refuses a start on an empty directory if neither --cluster nor --join was given, before anything is created. */
export async function requireOrigin(
  { members, join, nodeId, dataDir }: Pick<ServerConfig, "members" | "join" | "nodeId" | "dataDir">,
  disk: Disk,
): Promise<void> {
  // Between its two renames a recovery leaves no directory of this name: no new one must be made in its place.
  const { fresh } = neighboursOf(dataDir);
  requireDirectoryPath(dataDir, disk);
  if (disk.stat(dataDir) === null && disk.stat(fresh) !== null) {
    throw new ConfigError(
      `--data-dir: a recovery of ${dataDir} was interrupted, and its result is ${fresh}. Run \`mv ${fresh} ${dataDir}\`.`,
    );
  }
  if (members !== null || join.length > 0 || await readIdentity({ disk, path: dataDir }) !== null) return;
  throw new ConfigError(
    `--cluster is missing: ${dataDir} is empty, and nothing says what node ${nodeId} is to belong to. Allowed: ` +
      "--cluster with all nodes for a new cluster, or --join with any node of a running one. Example: --cluster " +
      "1=127.0.0.1:7001,2=127.0.0.1:7002,3=127.0.0.1:7003",
  );
}

/** Refuses a path at which there cannot be a directory. */
function requireDirectoryPath(path: string, disk: Disk): void {
  let reason: string | null;
  try {
    reason = disk.stat(path) === "file" ? "it is a file, not a directory" : null;
  } catch (error) {
    reason = isForbidden(error) ? "this user may not enter a directory above it" : wrongPathReason(error);
    if (reason === null) throw error;
  }
  if (reason === null) return;
  throw new ConfigError(
    `--data-dir: cannot use ${path}: ${reason}. Allowed: a directory, which the first start creates. Example: ` +
      "--data-dir ./data/node-1",
  );
}

/** Returns a data id for a new directory. */
export function newDataId(random: Random): number {
  return 1 + Math.floor(random() * (DATA_IDS - 1));
}

function checked(identity: Identity, { config, directory, logger }: IdentityOptions): Identity {
  const { nodeId, clusterName, members } = config;
  directory.requireOwner({ nodeId, clusterName, clusterId: null });
  if (members !== null && !isSame(members, identity.founders)) {
    logger.info("--cluster differs from the first members of this cluster; its current members count", {
      given: textOf(members.map(({ id, address }) => ({ id, address: formatAddress(address) }))),
      began: identity.founders.length === 0 ? "joined later" : textOf(identity.founders),
    });
  }
  return identity;
}

async function newIdentity(options: IdentityOptions): Promise<Identity> {
  const { config, random } = options;
  const { nodeId, members } = config;
  const dataId = newDataId(random);
  if (members !== null) {
    const clusterName = config.clusterName ?? DEFAULT_CLUSTER_NAME;
    const founders = members.map(({ id, address }) => ({ id, address: formatAddress(address) }));
    return { clusterId: clusterIdOf(clusterName, members), clusterName, nodeId, dataId, founders };
  }
  const welcome = await askForCluster(options, dataId);
  const known = welcome.members.find(({ id }) => id === nodeId);
  if (known !== undefined) {
    throw new DirectoryLostError(
      `Cannot join as node ${nodeId}: the cluster has a member of that id, at ${
        shortened(known.address)
      }, and this data directory, ` +
        `${config.dataDir}, is empty. Bring its data directory back; or, where that is lost, start a new node with an ` +
        `id that was never used and have it take its place: kvraft client … member replace ${nodeId} <new id> <host:port>.`,
    );
  }
  const clusterName = config.clusterName ?? DEFAULT_CLUSTER_NAME;
  return { clusterId: welcome.clusterId, clusterName, nodeId, dataId, founders: [] };
}

/** The name of a cluster for which none was given. */
export const DEFAULT_CLUSTER_NAME = "kvraft";

async function askForCluster(options: IdentityOptions, dataId: number): Promise<Welcome> {
  const { config, network, clock, logger, signal } = options;
  const verify = (address: Address, welcome: Welcome): Promise<Welcome> =>
    proven(welcome, { ...options, address, dataId });
  for (let attempt = 1;; attempt++) {
    try {
      return await probeAny(config.join, { network, clock, signal, verify });
    } catch (error) {
      signal.throwIfAborted();
      const reason = errorMessage(error);
      if (attempt >= JOIN_ATTEMPTS) {
        throw new JoinError(
          `Cannot join: no node at ${
            config.join.map(formatAddress).join(", ")
          } says which cluster it is. ${reason}`,
        );
      }
      if (attempt === 1) {
        logger.warn("cannot reach the cluster to join; trying again", { reason });
      }
      await pause(JOIN_PAUSE_MS, { clock, signal });
      signal.throwIfAborted();
    }
  }
}

/**
 * Returns the welcome of a node that has proved that it knows the peer secret, where that is required: the data directory
 * must not be given to the cluster of another program that listens at the address.
 *
 * The first welcome is that of a client, since this node does not know the cluster's id yet, from which the key is
 * derived. It calls again as a node; a program that has named another cluster has no proof for that one either.
 */
async function proven(
  welcome: Welcome,
  { config, peerSecret, network, clock, signal, address, dataId }:
    & IdentityOptions
    & { readonly address: Address; readonly dataId: number },
): Promise<Welcome> {
  const { nodeId, bind } = config;
  const isMember = welcome.members.some(({ id }) => id === nodeId); // which ends the start in any case
  if (peerSecret === null || config.peerAuth === "accept" || isMember) return welcome;
  const { clusterId, nodeId: expectedNodeId } = welcome;
  const caller = {
    role: "peer",
    clusterId,
    nodeId,
    dataId,
    address: formatAddress({
      host: isDialable(bind) ? bind.host : "localhost",
      port: Math.max(1, bind.port),
    }),
    featureLevel: FEATURE_LEVEL,
  } as const;
  const peerAuthentication = peerSecret.authenticationFor(clusterId);
  return await probePeer(address, { network, clock, signal, caller, expectedNodeId, peerAuthentication });
}

function isSame(members: readonly NodeAddress[], founders: Identity["founders"]): boolean {
  return members.length === founders.length &&
    members.every(({ id, address }) =>
      founders.some((founder) => founder.id === id && founder.address === formatAddress(address))
    );
}

function textOf(nodes: Identity["founders"]): string {
  return nodes.map(({ id, address }) => `${id}=${address}`).join(",");
}

/** Number of characters of a cluster id. */
const CLUSTER_ID_LENGTH = 16;

/**
 * Returns the id of a new cluster. It is made from values that all its nodes have: the cluster's name, its first members in
 * the order of their ids, and the origin where it continues from an older cluster's state. Each data directory stores it.
 */
export function clusterIdOf(
  clusterName: string,
  members: readonly NodeAddress[],
  origin: readonly string[] = [],
): string {
  const list = [...members].sort((a, b) => a.id - b.id).map(({ id, address }) =>
    `${id}=${formatAddress(address)}`
  );
  return createHash("sha256").update([clusterName, ...list, ...origin].join("\n")).digest("hex").slice(
    0,
    CLUSTER_ID_LENGTH,
  );
}

/** Returns the names of the old directory after a recovery, and of the new one until it is renamed. */
export function neighboursOf(dataDir: string): { readonly old: string; readonly fresh: string } {
  return { old: `${dataDir}.before-recovery`, fresh: `${dataDir}.recovered` };
}
