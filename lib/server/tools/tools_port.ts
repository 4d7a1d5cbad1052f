/** What the command line needs to look into data folders and make new ones; lib/server brings it, tests their own. */
import type { NodeAddress } from "../../protocol/node_list.ts";
import type { Member } from "../../protocol/messages.ts";

/** Looks into files and folders, and makes new ones, while no server runs on them. */
export interface ServerTools {
  /**
   * Reads a snapshot file or a data folder and changes nothing. Damage is part of the report; a named error is thrown
   * for what is neither, can't be read, or is in use by a running server.
   */
  inspect(path: string): Promise<InspectReport>;
  /**
   * Makes a data folder for one node of a new cluster out of a snapshot file. Run with the same file and the same
   * members it gives the same cluster id on every machine. Refuses a folder that holds anything.
   */
  restore(request: RestoreRequest): Promise<RestoreReport>;
  /**
   * Makes the node of a data folder the only voter of its cluster. Nothing is changed before `confirm` has said true
   * of what may be lost; null when it said false.
   */
  recover(request: RecoverRequest): Promise<RecoverReport | null>;
}

/** What there is at a path. */
export type InspectReport = SnapshotFileReport | DataFolderReport;

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
  /** Of the file. */
  readonly bytes: number;
  /** What it holds; null when damage kept it from being read. */
  readonly contents: StateFigures | null;
  readonly members: readonly Member[];
  /** Sentences, each with the place; none when every checksum fits. */
  readonly damage: readonly string[];
}

/** How much a state holds. */
export interface StateFigures {
  readonly keys: number;
  readonly sessions: number;
  /** Of keys and values. */
  readonly keyBytes: number;
  readonly valueBytes: number;
}

/** A data folder. */
export interface DataFolderReport {
  readonly kind: "dataFolder";
  readonly path: string;
  /** Whose it is; null while it is nobody's. */
  readonly identity: {
    readonly formatVersion: number;
    readonly clusterId: string;
    readonly clusterName: string;
    readonly nodeId: number;
  } | null;
  /** The newest term and the vote in it. */
  readonly term: number;
  readonly vote: number | null;
  /** Newest index known to be committed. */
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
  readonly snapshots: readonly { readonly index: number; readonly term: number; readonly bytes: number }[];
  /** Of the newest configuration in it. */
  readonly members: readonly Member[];
  /** Ids that are not used again. */
  readonly removedIds: readonly number[];
  /** Sentences, each with file, offset, index; none when all of it can be read. */
  readonly damage: readonly string[];
}

/** What to restore, and as what. */
export interface RestoreRequest {
  /** The snapshot file. */
  readonly from: string;
  /** Which of `members` the folder is for. */
  readonly nodeId: number;
  /** All voters of the new cluster, sorted by id. */
  readonly members: readonly NodeAddress[];
  readonly dataDir: string;
  readonly clusterName: string;
}

/** What was restored. */
export interface RestoreReport {
  readonly clusterId: string;
  /** Of the file it came from. */
  readonly revision: number;
  readonly keys: number;
}

/** Whom to recover. */
export interface RecoverRequest {
  readonly dataDir: string;
  /** Checked against the folder; null when it was not given. */
  readonly nodeId: number | null;
  /** Where the node is dialled from now on; null: where it was. */
  readonly address: string | null;
  /** Shows what is at stake and asks; called once, with the folder locked. */
  confirm(stakes: RecoveryStakes): Promise<boolean>;
}

/** What is at stake. */
export interface RecoveryStakes {
  readonly dataDir: string;
  readonly clusterId: string;
  readonly nodeId: number;
  readonly address: string;
  /** Of the newest configuration that it knows. */
  readonly members: readonly Member[];
  readonly lastIndex: number;
  readonly lastTerm: number;
  /** Entries behind it were not known to be committed: they become so now. */
  readonly commitIndex: number;
}

/** What was recovered. */
export interface RecoverReport {
  /** The id that the cluster has from now on. */
  readonly clusterId: string;
  readonly nodeId: number;
  readonly address: string;
  readonly lastIndex: number;
}
