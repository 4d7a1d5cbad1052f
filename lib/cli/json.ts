/** Answers as JSON, in the shapes that scripts count on. One document, on one line. */
import type { NodeView } from "../client/types.ts";
import type { KeyValue } from "../kv/command.ts";
import { assertNever } from "../platform/assert.ts";
import type { Answer } from "./answer.ts";
import { benchDocument } from "./bench_report.ts";
import { checkDocument } from "./check_report.ts";
import type { Failure } from "./errors.ts";
import { escapeJson } from "./escape.ts";
import type { MemberRow } from "./members.ts";
import { textOfBytes } from "./words.ts";

/** The document for an answer, without a newline. */
export function answerAsJson(answer: Answer): string {
  return jsonText(documentOf(answer));
}

/** The document for an error. */
export function failureAsJson({ code, message }: Failure): string {
  return jsonText({ error: { code, message } });
}

/** A document as JSON that is safe on a terminal. */
export function jsonText(document: unknown): string {
  return escapeJson(JSON.stringify(document));
}

function documentOf(answer: Answer): unknown {
  switch (answer.kind) {
    case "put":
      return { revision: answer.revision };
    case "get":
      return entryDocument(answer.entry);
    case "delete":
      return { deleted: answer.result.deleted, revision: answer.result.revision };
    case "list": {
      const { entries, cursor, revision } = answer.result;
      return { entries: entries.map(entryDocument), cursor, revision };
    }
    case "cas": {
      const { succeeded, current, revision } = answer.result;
      return { succeeded, current: entryDocument(current), revision };
    }
    case "status": {
      const { leader, term, nodes } = answer.status;
      return { leader, term, nodes: nodes.map(nodeDocument) };
    }
    case "members":
      return { members: answer.rows.map(memberRowDocument) };
    case "health": {
      const { isHealthy, elapsedMs, ...why } = answer.health;
      return { healthy: isHealthy, elapsedMs, code: null, reason: null, ...why };
    }
    case "membership":
      return { members: answer.members.map(({ id, address, role }) => ({ id, address, role })) };
    case "snapshot":
    case "snapshotSaved": {
      const { nodeId, index, term, revision, bytes } = answer.info;
      return { nodeId, index, term, revision, bytes };
    }
    case "exported": {
      const { keys, bytes, firstRevision, lastRevision } = answer.report;
      return { keys, bytes, firstRevision, lastRevision };
    }
    case "imported":
      return { keys: answer.report.keys, bytes: answer.report.bytes };
    case "transferLeader":
      return { leader: answer.leader };
    case "bench":
      return benchDocument(answer.report);
    case "check":
      return checkDocument(answer.report);
    case "help":
      return { help: answer.text };
    case "quit":
      return null;
    default:
      return assertNever(answer);
  }
}

function entryDocument(entry: KeyValue | null): unknown {
  if (entry === null) return null;
  const { createRevision, modRevision, version } = entry;
  return {
    ...bytesField("key", entry.key),
    ...bytesField("value", entry.value),
    createRevision,
    modRevision,
    version,
  };
}

/** `{ key: "text" }`, or `{ keyBase64: "…" }` for bytes that are not UTF-8. */
export function bytesField(name: string, bytes: Uint8Array): Record<string, string> {
  const text = textOfBytes(bytes);
  return text === null ? { [`${name}Base64`]: bytes.toBase64() } : { [name]: text };
}

/** What nobody could say is null. */
function memberRowDocument(
  { id, address, role, state, disk, lag, lastContactMs, version }: MemberRow,
): unknown {
  return { id, address, role, state, disk, lag, lastContactMs, version };
}

/** A node that did not answer has the same fields; what only it could have said is null. */
function nodeDocument(node: NodeView): unknown {
  const { id, address, reachable } = node;
  if (!node.reachable) {
    const unsaid = { disk: null, term: null, commitIndex: null, appliedIndex: null, version: null };
    const unsaidSizes = {
      lastLogIndex: null,
      firstLogIndex: null,
      snapshotIndex: null,
      keys: null,
      stateBytes: null,
    };
    const { state, reason } = node;
    return { id, address, role: null, reachable, state, reason, ...unsaid, ...unsaidSizes };
  }
  const { role, term, commitIndex, appliedIndex, version } = node;
  const { lastLogIndex, firstLogIndex, snapshotIndex, keys, stateBytes } = node;
  const sizes = { lastLogIndex, firstLogIndex, snapshotIndex, keys, stateBytes };
  const how = { reachable, state: "up", reason: null, disk: node.disk };
  return { id, address, role, ...how, term, commitIndex, appliedIndex, version, ...sizes };
}
