/** Disks of nodes that have seen many terms: what takes a real cluster ages is where a run begins. */
import { formatAddress } from "../../lib/net/address.ts";
import { clusterIdOf } from "../../lib/server/cluster_id.ts";
import type { ServerConfig } from "../../lib/server/config.ts";
import { DataDirectory, type Disk, WriteAheadLog } from "../../lib/storage/mod.ts";

/** Makes a data folder for a node whose log is empty and whose term is `term`, with the production code. */
export async function prepareDisk(
  disk: Disk,
  { config, term }: { readonly config: ServerConfig; readonly term: number },
): Promise<void> {
  const { clusterName, members, nodeId, dataDir, segmentBytes } = config;
  const clusterId = clusterIdOf(clusterName, members);
  const founders = members.map(({ id, address }) => ({ id, address: formatAddress(address) }));
  const identity = { clusterId, clusterName, nodeId, dataId: nodeId, founders };
  const directory = await DataDirectory.open({ disk, path: dataDir });
  directory.found(identity);
  const options = { disk, directory: directory.walDirectory, identity, segmentBytes, tailBytes: 0 };
  const { log } = await WriteAheadLog.open({ ...options, snapshot: null });
  log.append({ snapshot: null, hardState: { term, vote: null, commitIndex: 0 }, entries: [] });
  await log.sync();
  await log.close();
  directory.close();
}
