/**
 * The notable events of a node: lines of the log with a field `event`, whose name is stable. The newest are kept and are part
 * of the node's report.
 */
import type { LogFields, Logger } from "../../platform/logger.ts";
import { MAX_REPORTED_EVENTS } from "../../protocol/diagnostics/report_fields.ts";
import type { NotableEvent } from "../../protocol/diagnostics/report.ts";

/** Every event with what an operator does about it: docs/operations.md lists them. */
export const EVENTS = {
  becameLeader: "Nothing. Often: see leaderLost.",
  steppedDown:
    "Nothing, if another node leads soon. Often: the node or its connections are too slow. `reason` says which.",
  leadershipTransferred: "Nothing: an operator asked for it, or this leader stops or lacks disk space.",
  leaderKnown: "Nothing.",
  leaderLost:
    "Nothing, if a leader is known soon. Else see that a majority of the voters runs and is reachable.",
  peerConnected: "Nothing.",
  peerUnreachable: "See that the other node runs and that its address can be dialled from this one.",
  twoProcesses: "Stop the copy: a data directory must be used by one process only.",
  membershipChanges:
    "Nothing: an operator changes the members. The leader logs it; memberAdded and others follow.",
  memberAdded:
    "Nothing: the change is committed. A learner becomes a voter by itself unless it was added as one.",
  memberPromoted: "Nothing: the node votes from now on.",
  memberDemoted: "Nothing: the node has no vote any more.",
  memberRemoved: "Stop the machine of the removed node, if it was not replaced.",
  memberMoved: "Nothing: the node has another address.",
  authEnabled: "Nothing: an administrator enabled authentication.",
  authDisabled: "See that an administrator did it: every client may read and write everything.",
  certificateReloaded: "Nothing: the files of the certificate were replaced.",
  certificateUnusable: "Correct the file that the reason names; the certificate before stays in use.",
  certificateExpires:
    "Replace the certificate, or that of the authority that the line names, before the day that it names.",
  certificateExpired: "Replace the certificate now: other nodes and clients refuse it.",
  quotaReached: "Delete keys, or raise --quota-bytes on all nodes.",
  quotaLeft: "Nothing.",
  nodeSlow:
    "Look at the disk if syncP99Ms is 100 or more, at the load of the machine if loopDelayP99Ms is 250 or more.",
  nodeNotSlow: "Nothing: for a minute the node was not slow.",
  slowRequest: "See where the time went: `waitedFor` says it, and [A request was slow](#a-request-was-slow).",
  featureLevelRaised: "Nothing: all nodes run the new version. Older versions can no longer join.",
  diskFull: "Free disk space; the node goes on by itself.",
  diskNearlyFull:
    "Free disk space: snapshots fail; later the node gives up leadership, or refuses writes that add data.",
  diskHasSpace: "Nothing.",
  descriptorsShort: "Raise ulimit -n and restart the node.",
  descriptorsFree: "Nothing now; raise ulimit -n.",
  snapshotTaken: "Nothing.",
  snapshotFailed: "Do what the reason says: most often free disk space. Until then the log grows.",
  snapshotReceived: "Nothing: the node was too far behind for the leader's log.",
  backupWritten: "Nothing. Copy the file to another machine.",
  backupFailed: "Do what the reason says; it is tried again within a minute. Older backups stay.",
  nodeStops: "Do what the reason says, and start the node again.",
} as const satisfies Readonly<Record<string, string>>;
/** The name of an event. */
export type EventName = keyof typeof EVENTS;

/** Events of which there may be many: kept, they would push out all others. */
const NOT_KEPT: readonly string[] = ["slowRequest"] satisfies readonly EventName[];

/** The dependencies of an {@link EventLog}. */
export interface EventLogOptions {
  readonly logger: Logger;
  /** Returns milliseconds since 1970. */
  readonly wallClock: () => number;
}

/** Passes log lines on, and keeps those that are notable events. */
export class EventLog implements Logger {
  readonly #options: EventLogOptions;
  #events: NotableEvent[] = [];

  constructor(options: EventLogOptions) {
    this.#options = options;
  }

  /** The newest events, the oldest first. */
  get newest(): readonly NotableEvent[] {
    return this.#events;
  }

  debug(message: string, fields?: LogFields): void {
    this.#options.logger.debug(message, fields);
  }

  info(message: string, fields?: LogFields): void {
    this.#options.logger.info(message, fields);
    this.#note(message, fields);
  }

  warn(message: string, fields?: LogFields): void {
    this.#options.logger.warn(message, fields);
    this.#note(message, fields);
  }

  error(message: string, fields?: LogFields): void {
    this.#options.logger.error(message, fields);
    this.#note(message, fields);
  }

  #note(message: string, fields: LogFields = {}): void {
    const { event: name, ...others } = fields;
    if (typeof name !== "string" || NOT_KEPT.includes(name)) return;
    const text = [message, ...Object.entries(others).map(([field, value]) => `${field}=${value}`)].join(" ");
    const atMs = Math.round(this.#options.wallClock());
    const last = this.#events.at(-1);
    const isRepeated = last?.name === name && last.text === text;
    const about = [others["peer"], others["node"]].find((value) => typeof value === "number") ?? null;
    const event = { atMs, name, text, times: isRepeated ? last.times + 1 : 1, node: about };
    this.#events = [...isRepeated ? this.#events.slice(0, -1) : this.#events, event].slice(
      -MAX_REPORTED_EVENTS,
    );
  }
}
