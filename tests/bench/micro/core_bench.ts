/** The consensus core: proposals, messages and Ready of a leader of three. `deno task micro` runs it. */
import { assert } from "@std/assert";
import { LoneLeader } from "./fixtures.ts";

const leader = new LoneLeader();

for (const writes of [1, 64, 1_024]) {
  Deno.bench({
    name: `core: ${writes} ${writes === 1 ? "write" : "writes"} from proposal to commit`,
    group: "core writes",
    fn(): void {
      assert(leader.commit(writes) === writes);
    },
  });
}

for (const reads of [1, 64, 1_024]) {
  Deno.bench({
    name: `core: ${reads} ${reads === 1 ? "read" : "reads"} confirmed by a round`,
    group: "core reads",
    fn(): void {
      assert(leader.read(reads) === reads);
    },
  });
}
