/** The server's tools in memory: they keep their calls and return prepared answers. */
import type {
  InspectReport,
  RecoverReport,
  RecoverRequest,
  RecoveryStakes,
  RestoreCheck,
  RestoreReport,
  RestoreRequest,
  ServerTools,
} from "../../../../lib/server/tools/tools_port.ts";

/** Stakes of a recovery. */
export const STAKES: RecoveryStakes = {
  dataDir: "data/node-2",
  clusterId: "7f3a",
  nodeId: 2,
  address: "10.0.0.2:7001",
  members: [
    { id: 1, address: "10.0.0.1:7001", role: "voter" },
    { id: 2, address: "10.0.0.2:7001", role: "voter" },
    { id: 3, address: "10.0.0.3:7001", role: "voter" },
  ],
  lastIndex: 12,
  lastTerm: 5,
  commitIndex: 10,
};

/** The tools. */
export class FakeTools implements ServerTools {
  /** By path. */
  readonly reports = new Map<string, InspectReport>();
  /** Paths of deep inspections. */
  readonly deepPaths: string[] = [];
  readonly restored: RestoreRequest[] = [];
  /** Confirmed recoveries. */
  readonly recovered: Pick<RecoverRequest, "dataDir" | "nodeId" | "address">[] = [];
  /** The error of the next call. */
  failure: Error | null = null;

  inspect(path: string, { isDeep = false }: { readonly isDeep?: boolean } = {}): Promise<InspectReport> {
    if (isDeep) this.deepPaths.push(path);
    const report = this.reports.get(path);
    if (report !== undefined) return Promise.resolve(report);
    return Promise.reject(
      Object.assign(new Error(`Cannot inspect ${path}: there is nothing.`), { code: "notFound" }),
    );
  }

  restore(request: RestoreRequest): Promise<RestoreReport> {
    if (this.failure !== null) return Promise.reject(this.failure);
    this.restored.push(request);
    return Promise.resolve({ clusterId: "9c41", revision: 7, keys: 20_019 });
  }

  checkRestore(from: string): Promise<RestoreCheck> {
    if (this.failure !== null) return Promise.reject(this.failure);
    const file = this.reports.get(from);
    if (file?.kind !== "snapshot") return Promise.reject(new Error(`there is no ${from}`));
    const isSound = file.damage.length === 0;
    return Promise.resolve({ file, restored: isSound ? { revision: 1_000, bytes: 27_000_000 } : null });
  }

  async recover({ confirm, ...request }: RecoverRequest): Promise<RecoverReport | null> {
    if (!await confirm(STAKES)) return null;
    this.recovered.push(request);
    return { clusterId: "b002", nodeId: 2, address: request.address ?? STAKES.address, lastIndex: 12 };
  }
}
