/** Disks of nodes with a high term, so that a run can begin in a term that a real cluster reaches only after years. */
import { clusterIdOf } from "../../../lib/server/startup/identity.ts";
import { formatAddress } from "../../../lib/platform/address.ts";
import type { ServerConfig } from "../../../lib/server/config/config.ts";
import { DataDirectory, type Disk, WriteAheadLog } from "../../../lib/storage/mod.ts";

/** Makes a data directory for a node whose log is empty and whose term is `term`, with the production code. */
export async function prepareDisk(
  disk: Disk,
  { config, term }: { readonly config: ServerConfig; readonly term: number },
): Promise<void> {
  const { clusterName, members, nodeId, dataDir, segmentBytes } = config;
  if (clusterName === null || members === null) {
    throw new TypeError("a simulated cluster has a name and founders");
  }
  const founders = members.map(({ id, address }) => ({ id, address: formatAddress(address) }));
  const clusterId = clusterIdOf(clusterName, members);
  const identity = { clusterId, clusterName, nodeId, dataId: nodeId, founders };
  const directory = await DataDirectory.open({ disk, path: dataDir });
  directory.found(identity);
  const options = {
    disk,
    directory: directory.walDirectory,
    identity,
    segmentBytes,
    entryCacheBytes: 0,
    snapshot: null,
  };
  const { log } = await WriteAheadLog.open(options);
  log.append({ hardState: { term, vote: null, commitIndex: 0 }, entries: [], snapshot: null });
  await log.sync();
  await log.close();
  directory.close();
}
