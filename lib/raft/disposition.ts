/**
 * What became of a message: null when it was taken, else why it was ignored.
 *
 * A late, repeated, reordered or foreign message is not an error; it is met on purpose, and changes nothing.
 */
export type Disposition =
  | null
  | "addressed to another node"
  | "from a stranger"
  | "of an earlier term"
  | "leader is alive"
  | "answer to a role that has ended"
  | "answer to an earlier term"
  | "second leader of the term"
  | "not from the leader"
  | "cannot lead"
  | "read is not waited for"
  | "conflicts with a committed entry"
  | "too much waits for the disk"
  | "heartbeat commits what is not in the log"
  | "acknowledges what was not sent"
  | "answers nothing that is outstanding";
