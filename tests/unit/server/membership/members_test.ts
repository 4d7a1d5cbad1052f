/** The members of a configuration as clients and links see them. */
import { FEATURE_LEVEL } from "../../../../lib/kv/feature_level.ts";
import { assert, assertEquals } from "@std/assert";
import type { Configuration } from "../../../../lib/raft/mod.ts";
import {
  addressesOf,
  authorizePeer,
  foundingConfiguration,
  membersOf,
} from "../../../../lib/server/membership/members.ts";
import { encodeConfiguration } from "../../../../lib/protocol/configuration.ts";
import { MAX_MEMBERS, MAX_REMOVED_IDS } from "../../../../lib/protocol/limits.ts";
import { MAX_SNAPSHOT_CONFIGURATION_BYTES } from "../../../../lib/storage/snapshot/format.ts";

Deno.test("membersOf: members are voters, learners, or leaving in a joint configuration", () => {
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

Deno.test("foundingConfiguration: all founders are voters, sorted by id", () => {
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

const UNKNOWN = foundingConfiguration([{ id: 1, address: "h:1" }, { id: 2, address: "h:2" }]);
const KNOWN: Configuration = {
  ...UNKNOWN,
  members: UNKNOWN.members.map((member) => ({ ...member, dataId: 100 + member.id })),
};

function verdictOn(
  caller: { readonly nodeId: number; readonly dataId: number; readonly featureLevel?: number },
  configurations: { readonly applied: Configuration; readonly newest: Configuration },
): string | null {
  const peer = {
    role: "peer",
    clusterId: "c",
    lane: "bulk",
    address: "h:2",
    featureLevel: FEATURE_LEVEL,
    etcdUrl: null,
    credentials: null,
    ...caller,
  } as const;
  return authorizePeer(peer, { ...configurations, featureLevel: FEATURE_LEVEL })?.code ?? null;
}

Deno.test("authorizePeer: a node that does not know the cluster's feature level is refused", () => {
  const known = { applied: KNOWN, newest: KNOWN };
  const lower = { nodeId: 2, dataId: 102, featureLevel: FEATURE_LEVEL - 1 };
  assertEquals(verdictOn(lower, known), "versionMismatch");
  assertEquals(verdictOn({ ...lower, featureLevel: FEATURE_LEVEL + 1 }, known), null);
});

Deno.test("authorizePeer: a node is accepted with its recorded data directory", () => {
  const known = { applied: KNOWN, newest: KNOWN };
  assertEquals(verdictOn({ nodeId: 2, dataId: 102 }, known), null);
  assertEquals(verdictOn({ nodeId: 2, dataId: 7 }, known), "otherData");
  assertEquals(verdictOn({ nodeId: 2, dataId: 7 }, { applied: UNKNOWN, newest: UNKNOWN }), null);
  assertEquals(verdictOn({ nodeId: 9, dataId: 7 }, known), null);
});

Deno.test("authorizePeer: another data directory is refused, for now if the record is not known to be committed", () => {
  const restarted = { applied: UNKNOWN, newest: KNOWN };
  assertEquals(verdictOn({ nodeId: 2, dataId: 7 }, restarted), "busy");
  assertEquals(verdictOn({ nodeId: 2, dataId: 102 }, restarted), null);
});

Deno.test("authorizePeer: a removed node is refused once its removal is committed", () => {
  const removed: Configuration = { ...KNOWN, removedIds: [9] };
  assertEquals(verdictOn({ nodeId: 9, dataId: 7 }, { applied: removed, newest: removed }), "removedNode");
  assertEquals(verdictOn({ nodeId: 9, dataId: 7 }, { applied: KNOWN, newest: removed }), null);
});

Deno.test("encodeConfiguration: the largest configuration, with the most removed ids, fits into the header of a snapshot", () => {
  const first = Number.MAX_SAFE_INTEGER - MAX_REMOVED_IDS - MAX_MEMBERS;
  const host = "h123456789.".repeat(22);
  const founded = foundingConfiguration(
    Array.from(
      { length: 7 },
      (_, position) => ({ id: first + position, address: `${host}${position}:65535` }),
    ),
  );
  const learners = Array.from({ length: MAX_MEMBERS - 7 }, (_, position) => ({
    id: first + 7 + position,
    address: `${host}l${position}:65535`,
    dataId: 2 ** 48 - 1,
    autoPromote: true,
    replaces: null,
  }));
  const removedIds = Array.from({ length: MAX_REMOVED_IDS }, (_, position) => first + MAX_MEMBERS + position);
  const bytes = encodeConfiguration({
    confState: { ...founded.confState, learners: learners.map(({ id }) => id) },
    members: [...founded.members, ...learners],
    removedIds,
  });
  assert(bytes.length > 64 * 1024, "it is a large one");
  assert(bytes.length <= MAX_SNAPSHOT_CONFIGURATION_BYTES, `${bytes.length} bytes`);
});
