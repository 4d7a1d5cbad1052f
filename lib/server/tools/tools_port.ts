/** The interface between the command line and the tools for data directories of stopped servers. */
import type { NodeAddress } from "../../protocol/node_list.ts";
import type { StructureFigures } from "../../kv/mod.ts";
import type { Member } from "../../protocol/messages.ts";

/** Inspects files and directories of stopped servers, and makes new ones. */
export interface ServerTools {
  /**
   * Reads a snapshot file or a data directory and changes nothing. Damage is part of the report; rejects with a named error for
   * a path that is neither, or cannot be read. A deep inspection also loads the state, of a directory with the committed
   * entries of its log, and checks its complete structure.
   */
  inspect(path: string, options?: { readonly isDeep?: boolean }): Promise<InspectReport>;
  /**
   * Makes a data directory for one node of a new cluster out of a snapshot file. The same file and members give the same
   * cluster id on every machine. Refuses a directory that is not empty.
   */
  restore(request: RestoreRequest): Promise<RestoreReport>;
  /**
   * Does all of a restore but writes nothing: reads, verifies and loads the file, checks the structure of the state, and
   * encodes it as the new directory would have it. Damage is part of the report, as of {@link inspect}; rejects with a named
   * error for a file that cannot be restored for another reason.
   */
  checkRestore(from: string): Promise<RestoreCheck>;
  /**
   * Makes the node of a data directory the only voter of its cluster. Nothing is changed before `confirm` has returned true for
   * the data that may be lost; null when it returned false.
   */
  recover(request: RecoverRequest): Promise<RecoverReport | null>;
}

/** The content of a path. */
export type InspectReport = SnapshotFileReport | NodeDirectoryReport;

/** A snapshot file. */
export interface SnapshotFileReport {
  readonly kind: "snapshot";
  readonly path: string;
  readonly formatVersion: number;
  readonly clusterId: string;
  /** The last log index in it, and the term of the entry there. */
  readonly index: number;
  readonly term: number;
  readonly revision: number;
  /** Size of the file. */
  readonly bytes: number;
  /** Its content; null when damage prevented reading it. */
  readonly contents: StateFigures | null;
  /** Its checked structure; null unless the inspection was deep and found it sound. */
  readonly structure: StructureFigures | null;
  readonly members: readonly Member[];
  /** Sentences, each with the offset; none when every checksum is right. */
  readonly damage: readonly string[];
}

/** The size of a state. */
export interface StateFigures {
  readonly keys: number;
  readonly sessions: number;
  readonly leases: number;
  /** Users, roles besides the role root, and tokens. */
  readonly auth: {
    readonly enabled: boolean;
    readonly users: number;
    readonly roles: number;
    readonly tokens: number;
  };
  /** Bytes of keys and values. */
  readonly keyBytes: number;
  readonly valueBytes: number;
  /** Bytes of the history. */
  readonly historyBytes: number;
  /** The history is there above this revision. */
  readonly compactedRevision: number;
  readonly featureLevel: number;
}

/** The state that a deep inspection of a data directory loaded. */
export interface LoadedStateReport extends StateFigures {
  /** Index of the last entry in it. */
  readonly index: number;
  readonly revision: number;
  /** Its checked structure; null when an invariant is damaged. */
  readonly structure: StructureFigures | null;
}

/** A snapshot in a data directory. */
export interface DirectorySnapshotReport {
  readonly index: number;
  readonly term: number;
  readonly bytes: number;
  /** The numbers in the header of its state; null when it is damaged. */
  readonly state: {
    readonly revision: number;
    readonly compactedRevision: number;
    readonly featureLevel: number;
  } | null;
}

/** A data directory. */
export interface NodeDirectoryReport {
  readonly kind: "dataFolder";
  readonly path: string;
  /** Its identity; null when it has none. */
  readonly identity: {
    readonly formatVersion: number;
    readonly clusterId: string;
    readonly clusterName: string;
    readonly nodeId: number;
  } | null;
  /** The newest term and the vote in it. */
  readonly term: number;
  readonly vote: number | null;
  /** The newest index known to be committed. */
  readonly commitIndex: number;
  readonly log: {
    readonly firstIndex: number;
    readonly lastIndex: number;
    /** Term of the last entry. */
    readonly lastTerm: number;
    readonly segments: number;
    readonly bytes: number;
  };
  /** Newest first. */
  readonly snapshots: readonly DirectorySnapshotReport[];
  /** The state after the newest snapshot and the committed entries; null unless the inspection was deep and loaded it. */
  readonly state: LoadedStateReport | null;
  /** The members of the newest configuration in it. */
  readonly members: readonly Member[];
  /** Ids that cannot be used again. */
  readonly removedIds: readonly number[];
  /** Sentences, each with file, offset, index; none when all of it can be read. */
  readonly damage: readonly string[];
}

/** The effect that a restore of a file would have. */
export interface RestoreCheck {
  readonly file: SnapshotFileReport;
  /** The state as a restore would write it; null if it is damaged. */
  readonly restored: {
    /** The revision from which on the new cluster continues. */
    readonly revision: number;
    /** Bytes of the encoded state. */
    readonly bytes: number;
  } | null;
}

/** A restore to make. */
export interface RestoreRequest {
  /** The snapshot file. */
  readonly from: string;
  /** The member that the directory is for. */
  readonly nodeId: number;
  /** All voters of the new cluster, sorted by id. */
  readonly members: readonly NodeAddress[];
  readonly dataDir: string;
  readonly clusterName: string;
  /** Whether clients need not sign in at first, for operators who have lost every credential of the role root. */
  readonly disablesAuth: boolean;
}

/** The result of a restore. */
export interface RestoreReport {
  readonly clusterId: string;
  /** The cluster of the file. */
  readonly revision: number;
  readonly keys: number;
}

/** A recovery to make. */
export interface RecoverRequest {
  readonly dataDir: string;
  /** Checked against the directory; null when it was not given. */
  readonly nodeId: number | null;
  /** The new address of the node; null to keep the old one. */
  readonly address: string | null;
  /** As in {@link RestoreRequest}. */
  readonly disablesAuth: boolean;
  /** Shows the data that may be lost and asks; called once, with the directory locked. */
  confirm(stakes: RecoveryStakes): Promise<boolean>;
}

/** The data that a recovery may lose. */
export interface RecoveryStakes {
  readonly dataDir: string;
  readonly clusterId: string;
  readonly nodeId: number;
  readonly address: string;
  /** The members of the newest configuration that it knows. */
  readonly members: readonly Member[];
  readonly lastIndex: number;
  readonly lastTerm: number;
  /** Entries after it were not known to be committed, and become so. */
  readonly commitIndex: number;
}

/** The result of a recovery. */
export interface RecoverReport {
  /** The new id of the cluster. */
  readonly clusterId: string;
  readonly nodeId: number;
  readonly address: string;
  readonly lastIndex: number;
}
