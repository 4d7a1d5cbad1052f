/** The requests that read: whether they are valid, whether the state can answer them, and of which revision they are. */
import {
  type CommandProblem,
  LEASE_LEVEL,
  type StateMachine,
  validateHistoryQuery,
  validateKey,
  validateListQuery,
  validateRanges,
  validateScan,
  validateWatch,
} from "../../kv/mod.ts";
import { assertNever } from "../../platform/assert.ts";
import type { RequestFrame, ServerMessage } from "../../protocol/client_frames.ts";
import { answerRanges } from "../databases/range_reads.ts";
import { validateLeaseRead } from "../leases/lease_reads.ts";
import type { FeatureLevels } from "../membership/feature_levels.ts";
import type { ReadRequest, ReadSize } from "../read_scheduler.ts";
import type { Replica } from "../replica.ts";
import { type ErrorAnswer, futureRevision, notApplied } from "../reply.ts";
import { answerEvents } from "../watch/event_pages.ts";
import { startRefusal } from "../watch/watch_requests.ts";
import { answerScan } from "./scans.ts";

/** The state of a node that reads are answered from. */
export interface ReadState {
  readonly levels: FeatureLevels;
  readonly replica: Replica;
}

/** Returns the problem of a read, or null when it is valid. */
export function problemOf(request: ReadRequest): CommandProblem | null {
  switch (request.kind) {
    case "get":
    case "getAt":
      return validateKey(request.key);
    case "list":
    case "listAt":
      return validateListQuery(request.query);
    case "keyHistory":
      return validateHistoryQuery(request.query);
    case "lease":
    case "listLeases":
      return validateLeaseRead(request);
    case "readRanges":
      return validateRanges(request.ranges);
    case "scan":
      return validateScan(request.query);
    case "readEvents":
      return validateWatch(request);
    case "readAuth":
    case "listDatabases":
      return null;
    default:
      return assertNever(request);
  }
}

/** Returns the revision as of which a read is; null for one of the present. */
export function pastRevision(request: ReadRequest): number | null {
  switch (request.kind) {
    case "get":
    case "list":
    case "lease":
    case "listLeases":
    case "readAuth":
    case "listDatabases":
      return null;
    case "getAt":
    case "listAt":
    case "readRanges":
    case "scan":
      return request.revision;
    case "readEvents":
      return request.from === null ? null : request.from - 1;
    case "keyHistory":
      return request.query.before === null ? null : request.query.before - 1;
    default:
      return assertNever(request);
  }
}

/** Returns why the state cannot answer a read of the past or of leases, or null. */
export function stateRefusal(
  request: ReadRequest,
  options: ReadState,
): ErrorAnswer | null {
  const { levels, replica: { stateMachine } } = options;
  if (request.kind === "get" || request.kind === "list" || request.kind === "readAuth") return null;
  if ((request.kind === "readRanges" || request.kind === "scan") && request.revision === null) return null;
  if (request.kind === "readEvents") return startRefusal(request, options);
  // Older nodes know of no database, but every cluster has the default one: its clients begin with this answer.
  if (request.kind === "listDatabases") return null;
  if (request.kind === "lease" || request.kind === "listLeases") {
    return stateMachine.featureLevel < LEASE_LEVEL ? levels.refusalOf("leases") : null;
  }
  const { revision: present, compactedRevision } = stateMachine;
  const revision = pastRevision(request) ?? present;
  const readability = stateMachine.readability(revision);
  switch (readability) {
    case "readable":
      return null;
    case "noHistory":
      return levels.refusalOf("history");
    case "futureRevision":
      return futureRevision(revision, present);
    case "compacted":
      return {
        ...notApplied(
          "compacted",
          `Cannot read as of revision ${revision}: the history is kept from revision ${compactedRevision} on.`,
        ),
        compactedRevision,
      };
    default:
      return assertNever(readability);
  }
}

/** Returns the answer to a read of several parts, and its size. */
export function answerParts(
  request: RequestFrame<"readRanges" | "scan" | "readEvents">,
  stateMachine: StateMachine,
): { readonly answer: ServerMessage; readonly size: ReadSize } {
  switch (request.kind) {
    case "readRanges":
      return answerRanges(request, stateMachine);
    case "scan":
      return answerScan(request, stateMachine);
    case "readEvents":
      return answerEvents(request, stateMachine);
    default:
      return assertNever(request);
  }
}
