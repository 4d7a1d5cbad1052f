/** A node of a golden script (see script.ts), and how the words of its steps are read. */
import type { Entry, EntryId, NodeId } from "../../../lib/raft/mod.ts";
import { CoreNode } from "./core_node.ts";
import type { DiskContent, RaftDisk } from "./disk.ts";

/** A node and the state that the script has set. */
export class ScriptNode extends CoreNode {
  /** The last entry that its state machine has applied. */
  applied: EntryId = { index: 0, term: 0 };
  timeoutTicks: number;
  /** Payload entries that a restart finds in memory. */
  cachedEntries = Number.MAX_SAFE_INTEGER;
  diskHeld = false;
  entryReadsHeld = false;
  /** Its last shown status. */
  shown = "";

  constructor(
    id: NodeId,
    { disk, timeoutTicks }: { readonly disk: RaftDisk; readonly timeoutTicks: number },
  ) {
    super(id, disk);
    this.timeoutTicks = timeoutTicks;
  }
}

/** Returns the content of a disk given as `term=4 log=1,1,4 vote=2 commit=1`. */
export function contentOf(given: ReadonlyMap<string, string>): DiskContent {
  const terms = (given.get("log") ?? "").split(",").filter((term) => term !== "").map(Number);
  const entries = terms.map((term, position): Entry => {
    const index = position + 1;
    return { index, term, kind: "command", data: new TextEncoder().encode(`x${index}`) };
  });
  const hardState = {
    term: Number(given.get("term") ?? terms.at(-1) ?? 0),
    vote: given.has("vote") ? Number(given.get("vote")) : null,
    commitIndex: Number(given.get("commit") ?? 0),
  };
  return { hardState, entries };
}

/** Parses `1 2` or `1>2` into one-way links. */
export function links(args: readonly string[]): string[] {
  const [first, second] = args;
  if (first === undefined) return [];
  return second === undefined ? [first] : [`${first}>${second}`, `${second}>${first}`];
}

/** Parses `name=value` arguments. */
export function assignments(words: readonly string[]): [string, string][] {
  return words.map((word) => {
    const [name = "", value = ""] = word.split("=");
    return [name, value];
  });
}
