/** Conformance cases of Maintenance, Cluster and Auth. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { call, type Case, header } from "./case.ts";

const SEMVER = /^\d+\.\d+\.\d+$/;

/** The cases. */
export const CLUSTER_CASES: readonly Case[] = [
  {
    name: "MemberList",
    steps: () => [
      call("Cluster/MemberList", {}, ({ header: head, members }) => {
        assertEquals(Object(head).revision, undefined);
        const [{ ID, name, clientURLs }] = Array.isArray(members) ? members : [{}];
        assert(BigInt(ID) > 0n && name !== "");
        assertMatch(clientURLs[0], /^https?:\/\/127\.0\.0\.1:\d+$/);
      }),
    ],
  },
  {
    name: "Status",
    steps: () => [
      call("Maintenance/Status", {}, ({ version, leader, raftTerm, dbSize, storageVersion }) => {
        assertMatch(String(version), SEMVER);
        assertMatch(String(storageVersion), SEMVER);
        assert(Boolean(leader) && Boolean(raftTerm) && Boolean(dbSize));
      }),
    ],
  },
  {
    name: "Alarm and Defragment",
    steps: ({ rev }) => [
      call("Maintenance/Alarm", {}, header(rev)),
      call("Maintenance/Defragment", {}, {}),
    ],
  },
  {
    name: "members that do not exist",
    steps: () => [
      call("Cluster/MemberRemove", { ID: 4711 }, { fails: 5, text: "etcdserver: member not found" }),
      call("Maintenance/MoveLeader", { targetID: 4711 }, {
        fails: 9,
        text: "etcdserver: bad leader transferee",
      }),
    ],
  },
  {
    name: "Authenticate without users",
    steps: () => [
      call("Auth/Authenticate", { name: "x", password: "y" }, {
        fails: 9,
        text: "etcdserver: authentication is not enabled",
      }),
      call("KV/Range", { key: "k" }, ({ count }) => assertEquals(count, undefined), { token: "x.1" }),
    ],
  },
];
