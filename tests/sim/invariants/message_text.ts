/** Messages of the core as lines of a trace. */
import type { Message } from "../../../lib/raft/mod.ts";

/** What a message says. */
export function messageText(message: Message): string {
  const head = `${message.kind} of term ${message.term} from n${message.from}`;
  switch (message.kind) {
    case "appendEntries":
      return `${head}: ${message.entries.length} after ${message.prevLogIndex}@${message.prevLogTerm}, commit ${message.leaderCommit}`;
    case "appendEntriesResponse":
      return message.result.kind === "accepted"
        ? `${head}: has up to ${message.result.matchIndex}`
        : `${head}: rejected after ${message.result.prevLogIndex}, hint ${message.result.conflictIndex}@${message.result.conflictTerm}`;
    case "requestVote":
    case "preVote":
      return `${head}: log ends at ${message.lastLogIndex}@${message.lastLogTerm}`;
    case "requestVoteResponse":
    case "preVoteResponse":
      return `${head}: ${message.granted ? "granted" : "refused"}`;
    case "heartbeat":
      return `${head}: round ${message.round}`;
    case "heartbeatResponse":
      return `${head}: round ${message.round}, promised for ${message.promisedMs} ms`;
    case "readIndexResponse":
      return `${head}: ${message.index}`;
    case "timeoutNow":
    case "readIndex":
      return head;
    case "installSnapshot":
      return `${head}: up to ${message.snapshot.index}@${message.snapshot.term}`;
  }
}
