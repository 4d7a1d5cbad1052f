/** Which nodes may call, by what is known of them. */
import { assertEquals } from "@std/assert";
import type { Configuration } from "../../../lib/raft/mod.ts";
import { authorizePeer, foundingConfiguration } from "../../../lib/server/membership/members.ts";

const UNKNOWN = foundingConfiguration([{ id: 1, address: "h:1" }, { id: 2, address: "h:2" }]);
const KNOWN: Configuration = {
  ...UNKNOWN,
  members: UNKNOWN.members.map((member) => ({ ...member, dataId: 100 + member.id })),
};

function verdictOn(
  caller: { readonly nodeId: number; readonly dataId: number },
  configurations: { readonly applied: Configuration; readonly newest: Configuration },
): string | null {
  const peer = { role: "peer", clusterId: "c", lane: "bulk", address: "h:2", ...caller } as const;
  return authorizePeer(peer, configurations)?.code ?? null;
}

Deno.test("a node comes with the data folder that it is known by", () => {
  const known = { applied: KNOWN, newest: KNOWN };
  assertEquals(verdictOn({ nodeId: 2, dataId: 102 }, known), null);
  assertEquals(verdictOn({ nodeId: 2, dataId: 7 }, known), "otherData");
  assertEquals(verdictOn({ nodeId: 2, dataId: 7 }, { applied: UNKNOWN, newest: UNKNOWN }), null);
  assertEquals(verdictOn({ nodeId: 9, dataId: 7 }, known), null);
});

Deno.test("one that comes with another is put off where the log says so and it is not known to be committed", () => {
  const restarted = { applied: UNKNOWN, newest: KNOWN };
  assertEquals(verdictOn({ nodeId: 2, dataId: 7 }, restarted), "busy");
  assertEquals(verdictOn({ nodeId: 2, dataId: 102 }, restarted), null);
});

Deno.test("a node that was removed is told, but only once that is committed", () => {
  const removed: Configuration = { ...KNOWN, removedIds: [9] };
  assertEquals(verdictOn({ nodeId: 9, dataId: 7 }, { applied: removed, newest: removed }), "removedNode");
  assertEquals(verdictOn({ nodeId: 9, dataId: 7 }, { applied: KNOWN, newest: removed }), null);
});
