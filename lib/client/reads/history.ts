/** The calls on the history: the versions of a key, and compaction. */
import type { CommandResult } from "../../kv/command.ts";
import { assertNever } from "../../platform/assert.ts";
import { encodeCommand } from "../../protocol/command.ts";
import type { Outcome } from "../../protocol/messages.ts";
import type { CallContext } from "../call_context.ts";
import type { ClientCore } from "../core.ts";
import { FutureRevisionError, InternalError, VersionMismatchError } from "../errors.ts";
import { checkRevision, toConsistency, toHistoryQuery } from "../input.ts";
import { backoffMs, describeOutcome, MAY_HAVE_BEEN_APPLIED, userRefused } from "../retry.ts";
import { readResult } from "../writer.ts";
import type { Bytes, CallOptions, CompactResult, HistoryOptions, HistoryResult } from "../types.ts";

/** Returns one page of the versions of a key. */
export async function readHistory(
  core: ClientCore,
  key: Bytes,
  options: HistoryOptions,
): Promise<HistoryResult> {
  const query = toHistoryQuery(key, options);
  const request = {
    kind: "keyHistory",
    query,
    consistency: toConsistency(options),
  } as const;
  const action = "read the history of a key";
  const { message } = await core.call(request, { kind: "read", action, context: core.context(options) });
  const { versions, more, compactedRevision, revision } = message.page;
  const oldest = versions.at(-1);
  const before = more && oldest !== undefined ? oldest.modRevision : null;
  return { versions, before, compactedRevision, revision };
}

/** Compacts the history at a revision. */
export async function compact(
  core: ClientCore,
  revision: number,
  options: CallOptions,
): Promise<CompactResult> {
  return { compactedRevision: (await runCompaction(core, revision, options)).revision };
}

/** The result of a compaction. */
export interface Compaction {
  /** The compacted revision after it. */
  readonly revision: number;
  /** The compacted revision before it. */
  readonly before: number;
  /** Whether that was below the one of the request; an attempt without an answer may have raised it. */
  readonly mayHaveChanged: boolean;
  /** The present revision. */
  readonly present: number;
}

/** Compacts the history at a revision. A retry changes nothing more, so it needs no session. */
export async function runCompaction(
  core: ClientCore,
  revision: number,
  options: CallOptions,
): Promise<Compaction> {
  const command = encodeCommand({ kind: "compact", revision: checkRevision(revision) });
  const action = `compact the history at revision ${revision}`;
  const notes = { kind: "write", action, context: core.context(options) } as const;
  const { result, outcome } = await compactSignedIn(core, command, notes);
  if (result.kind === "compacted") {
    const { before, present } = result;
    const mayHaveChanged = before < revision || (before === revision && outcome === "unknown");
    return { revision: result.revision, before, mayHaveChanged, present };
  }
  const reason = result.kind === "refused" ? result.reason : null;
  switch (reason) {
    case "futureRevision":
      throw new FutureRevisionError(
        `Cannot ${action}: it is above the present one. ${describeOutcome(outcome)}`,
        { outcome },
      );
    case "invalidCommand":
      throw new VersionMismatchError(
        `Cannot ${action}: every node of the cluster must run kvraft 0.2 or later. ${
          describeOutcome(outcome)
        }`,
        { outcome },
      );
    case "unauthenticated":
    case "permissionDenied":
      throw userRefused(reason, action, outcome);
    case "sessionExpired":
    case "answerForgotten":
    case "databaseNotFound":
    case null:
      throw new InternalError(`Cannot ${action}: the answer is not one to it. ${MAY_HAVE_BEEN_APPLIED}`, {
        outcome: "unknown",
      });
    default:
      return assertNever(reason);
  }
}

/**
 * Sends a compaction, and again after a new sign-in where its user was not accepted when it was applied: a token may end
 * after a node let the command through.
 */
async function compactSignedIn(
  core: ClientCore,
  command: Uint8Array,
  notes: { readonly kind: "write"; readonly action: string; readonly context: CallContext },
): Promise<{ readonly result: CommandResult; readonly outcome: Outcome }> {
  let hasSignedIn = false;
  for (let round = 1;; round++) {
    const { message, outcome, connection } = await core.call({ kind: "write", command }, notes);
    const result = readResult(message.result, notes.action);
    const isUnaccepted = result.kind === "refused" && result.reason === "unauthenticated";
    if (!isUnaccepted || hasSignedIn) return { result, outcome };
    // A sign-in that was not answered is repeated at the next round, until the deadline.
    const unanswered = await core.runner.signInAgain(connection.node, { ...notes, outcome });
    hasSignedIn = unanswered === null;
    if (!hasSignedIn) await notes.context.pause(backoffMs(round, core.random));
  }
}
