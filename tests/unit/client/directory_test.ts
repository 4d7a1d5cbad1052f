/** Directory: the nodes that the client knows, from the messages of nodes. */
import { assertEquals } from "@std/assert";
import { Directory } from "../../../lib/client/directory.ts";
import { FIRST_GATEWAY_ID } from "../../../lib/protocol/hello.ts";
import type { Member } from "../../../lib/protocol/messages.ts";

const members: readonly Member[] = [
  { id: 1, address: "n1:1", role: "voter" },
  { id: 2, address: "n2:1", role: "voter" },
  { id: 3, address: "n3:1", role: "voter" },
];

Deno.test("Directory: given addresses are dialled before learned ones, the leader first, and those that failed last", () => {
  const directory = new Directory(["n3:1", "alias:1"]);
  directory.noteMembers(members, 10);
  directory.noteAnswer("alias:1", 1);
  const order = (): readonly string[] => directory.dialOrder(0, () => 0.5);
  assertEquals(order(), ["n3:1", "alias:1", "n1:1", "n2:1"]);
  directory.noteLeader(3, 2, 4);
  assertEquals(order(), ["n2:1", "n3:1", "alias:1", "n1:1"]);
  directory.noteFailure("n2:1", 0);
  assertEquals(order(), ["n3:1", "alias:1", "n1:1", "n2:1"]);
});

Deno.test("Directory: a node is dialled at the address where it has answered before its own address", () => {
  const directory = new Directory(["alias:1"]);
  directory.noteMembers(members, 10);
  assertEquals(directory.addressesOf(2), ["n2:1"]);
  directory.noteAnswer("alias:1", 2);
  assertEquals(directory.addressesOf(2), ["alias:1", "n2:1"]);
  assertEquals([directory.nodeAt("alias:1"), directory.nodeAt("elsewhere:1")], [2, null]);
});

Deno.test("Directory: behind a gateway the addresses of the members are not dialled", () => {
  const directory = new Directory(["g1:1", "g2:1"]);
  directory.noteMembers(members, 10);
  assertEquals(directory.addresses(), ["g1:1", "g2:1", "n1:1", "n2:1", "n3:1"]);
  directory.noteAnswer("g1:1", FIRST_GATEWAY_ID);
  assertEquals(directory.addresses(), ["g1:1", "g2:1"]);
  assertEquals(directory.addressesOf(2), []);
  assertEquals(directory.members, members);
});

Deno.test("Directory: the report of the newest term counts, unless that leader reports otherwise", () => {
  const directory = new Directory([]);
  directory.noteMembers(members, 10);
  directory.noteLeader(1, 1, 4);
  directory.noteLeader(2, 1, 4);
  assertEquals(directory.leader, 1);
  directory.noteLeader(1, null, 4);
  assertEquals(directory.leader, null);
  directory.noteLeader(3, 2, 5);
  assertEquals(directory.leader, 2);
  directory.noteLeader(1, 1, 4);
  assertEquals(directory.leader, 2);
  directory.forgetView(3);
  directory.forgetView(1);
  directory.forgetView(2);
  assertEquals(directory.leader, null);
});

Deno.test("Directory: an address is avoided for longer with each failure, until it answers or its node is elected", () => {
  const directory = new Directory(["n1:1"]);
  directory.noteMembers(members, 10);
  const avoidedFor = (): number => {
    let ms = 0;
    while (directory.isAvoided("n1:1", ms)) ms += 500;
    return ms;
  };
  assertEquals(avoidedFor(), 0);
  const waits = [1, 2, 3, 4, 5, 6].map(() => {
    directory.noteFailure("n1:1", 0);
    return avoidedFor();
  });
  assertEquals(waits, [500, 1_000, 2_000, 4_000, 5_000, 5_000]);
  directory.noteLeader(2, 1, 1);
  assertEquals(avoidedFor(), 0);
  directory.noteFailure("n1:1", 0);
  assertEquals(avoidedFor(), 500);
  directory.noteAnswer("n1:1", 1);
  assertEquals(avoidedFor(), 0);
});

Deno.test("Directory: addresses that are no longer a member's are forgotten", () => {
  const directory = new Directory(["n1:1"]);
  directory.noteMembers(members, 10);
  directory.noteAnswer("n3:1", 3);
  directory.noteMembers(members.slice(0, 2), 10);
  assertEquals([directory.addresses(), directory.nodeAt("n3:1")], [["n1:1", "n2:1"], null]);
});

Deno.test("Directory: an outdated node does not bring back removed members", () => {
  const directory = new Directory(["n1:1"]);
  directory.noteMembers(members.slice(1), 10);
  directory.noteMembers(members, 9);
  assertEquals(directory.members, members.slice(1));
  directory.noteMembers(members, 11);
  assertEquals(directory.members, members);
});
