/** Text forms of the core's types in golden scripts and traces: one short stable line each. */
import { assertNever } from "../../../lib/platform/assert.ts";
import type {
  Entry,
  Message,
  NodeId,
  PeerView,
  Persist,
  RaftStatus,
  SnapshotMetadata,
} from "../../../lib/raft/mod.ts";
import { configurationText } from "./configuration.ts";

/** Text forms of parts of a message; by default read ids as numbers, and entries with their payloads. */
export interface MessageTextOptions {
  readonly nameRead?: (node: NodeId, readId: number) => string;
  readonly entriesText?: (entries: readonly Entry[]) => string;
}

const decoder = new TextDecoder();

/** `4@2 a`: index, term, payload. */
export function entryText(entry: Entry): string {
  return `${entry.index}@${entry.term} ${payloadText(entry)}`;
}

function payloadText({ kind, data }: Entry): string {
  switch (kind) {
    case "command":
      return decoder.decode(data);
    case "noop":
      return "(noop)";
    case "configuration":
      return `(${decoder.decode(data)})`;
    default:
      return assertNever(kind);
  }
}

/** `5@2 (voters=1,2,3)`: index and term of the last entry in it, and the configuration. */
export function snapshotText({ index, term, configuration }: SnapshotMetadata): string {
  return `${index}@${term} (${configurationText(configuration)})`;
}

/** `2 replicate match=5`: a leader's progress of another node. */
export function peerText({ id, kind, matchIndex, isActive }: PeerView): string {
  return `${id} ${kind} match=${matchIndex}${isActive ? "" : " silent"}`;
}

/** `[4@2 a, 5@2 b]` */
export function entriesText(entries: readonly Entry[]): string {
  return `[${entries.map(entryText).join(", ")}]`;
}

/** `1→2 appendEntries term=2 prev=3@1 commit=3 entries=[4@2 a]` */
export function messageText(message: Message, options: MessageTextOptions = {}): string {
  const { from, to, kind, term } = message;
  return `${from}→${to} ${kind} term=${term}${fieldsText(message, options)}`;
}

function fieldsText(
  message: Message,
  { nameRead = (_, readId): string => `${readId}`, entriesText: textOf = entriesText }: MessageTextOptions,
): string {
  switch (message.kind) {
    case "preVote":
      return ` last=${message.lastLogIndex}@${message.lastLogTerm}`;
    case "requestVote": {
      const transfer = message.leadershipTransfer ? " (transfer)" : "";
      return ` last=${message.lastLogIndex}@${message.lastLogTerm}${transfer}`;
    }
    case "preVoteResponse":
    case "requestVoteResponse":
      return message.granted ? " granted" : " refused";
    case "appendEntries": {
      const { prevLogIndex, prevLogTerm, leaderCommit, entries } = message;
      return ` prev=${prevLogIndex}@${prevLogTerm} commit=${leaderCommit} entries=${textOf(entries)}`;
    }
    case "appendEntriesResponse": {
      const { result } = message;
      if (result.kind === "accepted") return ` accepted match=${result.matchIndex}`;
      const hint = `${result.conflictIndex}@${result.conflictTerm}`;
      return ` rejected prev=${result.prevLogIndex} hint=${hint}`;
    }
    case "heartbeat":
      return ` commit=${message.leaderCommit} round=${message.round}`;
    case "heartbeatResponse": {
      const promised = message.promisedMs === 0 ? "" : ` promised=${message.promisedMs}`;
      return ` round=${message.round}${promised}${message.hasDiskSpace ? "" : " full"}`;
    }
    case "timeoutNow":
      return "";
    case "installSnapshot":
      return ` snapshot=${snapshotText(message.snapshot)}`;
    case "readIndex":
      return ` read=${nameRead(message.from, message.readId)}`;
    case "readIndexResponse":
      return ` read=${nameRead(message.to, message.readId)} index=${message.index ?? "none"}`;
    default:
      return assertNever(message);
  }
}

/** `term=2 vote=1 commit=3 entries=[4@2 a]`: the content of a write. */
export function persistText(persist: Persist): string {
  const parts: string[] = [];
  const { hardState, snapshot, entries } = persist;
  if (hardState !== null) {
    parts.push(`term=${hardState.term} vote=${hardState.vote ?? "none"} commit=${hardState.commitIndex}`);
  }
  if (snapshot !== null) parts.push(`snapshot=${snapshotText(snapshot)}`);
  if (entries.length > 0) parts.push(`entries=${entriesText(entries)}`);
  return parts.join(" ");
}

/** `follower term=2 vote=none leader=1 commit=3 last=4`, and the beginning of the log unless it is 1. */
export function statusText(status: RaftStatus): string {
  const { role, term, vote, leader, commitIndex, firstIndex, lastIndex } = status;
  const who = `vote=${vote ?? "none"} leader=${leader ?? "none"}`;
  const first = firstIndex === 1 ? "" : ` first=${firstIndex}`;
  return `${role} term=${term} ${who} commit=${commitIndex}${first} last=${lastIndex}`;
}
