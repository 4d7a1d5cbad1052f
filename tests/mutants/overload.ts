/** Mutants of the bounds on what clients may cost: turns of reads, memory, and what is done for those who are gone. */
import { NET, SERVER } from "./checks.ts";
import type { Mutant } from "./mutant.ts";

export const OVERLOAD_MUTANTS: readonly Mutant[] = [
  {
    id: "M220",
    title: "any number of reads is answered in one turn",
    failure: "a thousand lists on one connection stop a leader for seconds, and another is elected",
    file: "lib/server/read_scheduler.ts",
    from: "this.#leftBytes -= READ_BYTES + entries * ENTRY_BYTES + bytes;",
    to: "this.#leftBytes -= 0 * (entries + bytes);",
    checks: [SERVER],
  },
  {
    id: "M221",
    title: "pages are built for a client that reads nothing",
    failure: "connections that read nothing take gigabytes of memory",
    file: "lib/server/read_scheduler.ts",
    from: "return this.#options.isHeld() ? null : this.#reads[0] ?? null;",
    to: "return this.#reads[0] ?? null;",
    checks: [SERVER],
  },
  {
    id: "M222",
    title: "hashes are computed for connections that are gone",
    failure: "a client that asks a hundred times and leaves keeps the node walking its state",
    file: "lib/server/state_hashes.ts",
    from: "!this.#isStopped && questions.some(({ asker }) => !asker.isGone)",
    to: "!this.#isStopped",
    checks: [SERVER],
  },
  {
    id: "M223",
    title: "slow clients may hold any number of bytes together",
    failure: "a hundred connections that read nothing take gigabytes of memory",
    file: "lib/net/waiting_memory.ts",
    from: "while (change > 0 && this.#usedBytes > this.#options.maxBytes) this.#closeLargest();",
    to: "if (change > Infinity) this.#closeLargest();",
    checks: [NET],
  },
  {
    id: "M224",
    title: "the frame that has only half come counts nothing",
    failure: "connections that send half frames take 16 MiB each, beside every bound",
    file: "lib/net/frame_reader.ts",
    from: "this.#start === this.#end ? 0 : this.#buffer.length;",
    to: "0;",
    checks: [NET],
  },
  {
    id: "M225",
    title: "a frame may take as long as it likes",
    failure: "half frames are held for as long as their connections are open",
    file: "lib/net/frame_deadlines.ts",
    from: "if (channel.checkFrame() <= FRAME_CHECKS) continue;",
    to: "if (channel.checkFrame() <= 1e9) continue;",
    checks: [NET],
  },
];
