/** What messages promise (reliability §3, 2 and 4): whatever one says of its sender is on the sender's disk. */
import type { Message } from "../../../lib/raft/mod.ts";
import type { LogPicture } from "./log_picture.ts";

/**
 * What a message promises and its sender's disk does not hold; null when it keeps its word. `sender` is what is on that
 * disk, `receiver` what the receiver holds, on its disk or not.
 */
export function brokenPromise(
  message: Message,
  { sender: { hardState, terms }, receiver }: { readonly sender: LogPicture; readonly receiver: LogPicture },
): string | null {
  // These promise nothing, not even a term: a pre-vote asks for the next one, and a read asks a leader that has it.
  if (message.kind === "preVote" || message.kind === "readIndex") return null;
  if (message.kind === "preVoteResponse" && message.granted) return null;
  const { from, term } = message;
  if (hardState.term < term) return `n${from} speaks for term ${term}, and its disk knows ${hardState.term}`;
  // Once the sender has moved on to a later term, what it promised in this one binds nobody any more.
  if (hardState.term > term) return null;
  if (message.kind === "requestVoteResponse" && message.granted) {
    return hardState.vote === message.to
      ? null
      : `n${from} gave a vote in term ${term} that is not on its disk`;
  }
  if (message.kind === "appendEntriesResponse" && message.result.kind === "accepted") {
    const { matchIndex } = message.result;
    // A late answer may find that its leader has moved on, and thrown away what it speaks of.
    const hasMovedOn = receiver.hardState.term > term;
    const isThere = matchIndex <= terms.length &&
      (hasMovedOn || terms[matchIndex - 1] === receiver.terms[matchIndex - 1]);
    return isThere ? null : `n${from} acknowledges ${matchIndex}, and its disk has ${terms.length} entries`;
  }
  return null;
}
