/** The members of a configuration as clients and links see them. */
import { assertEquals } from "@std/assert";
import type { Configuration } from "../../../lib/raft/mod.ts";
import { addressesOf, foundingConfiguration, membersOf } from "../../../lib/server/membership/members.ts";

Deno.test("members are voters, learners, or leaving while their vote is still needed", () => {
  const joint: Configuration = {
    ...foundingConfiguration([1, 2, 3, 4].map((id) => ({ id, address: `n${id}:7001` }))),
    confState: { voters: [1, 2], learners: [3], votersOutgoing: [1, 3, 4] },
  };
  assertEquals(membersOf(joint).map(({ id, role }) => [id, role]), [
    [1, "voter"],
    [2, "voter"],
    [3, "learner"],
    [4, "leaving"],
  ]);
});

Deno.test("a cluster begins with all founders as voters, in the order of their ids, whatever order they came in", () => {
  const founded = foundingConfiguration([{ id: 2, address: "[::1]:7002" }, { id: 1, address: "n1:7001" }]);
  assertEquals(founded, {
    confState: { voters: [1, 2], learners: [], votersOutgoing: [] },
    members: [
      { id: 1, address: "n1:7001", dataId: null, autoPromote: false, replaces: null },
      { id: 2, address: "[::1]:7002", dataId: null, autoPromote: false, replaces: null },
    ],
    removedIds: [],
  });
  assertEquals(addressesOf(founded), [
    { id: 1, address: { host: "n1", port: 7001 } },
    { id: 2, address: { host: "::1", port: 7002 } },
  ]);
});
