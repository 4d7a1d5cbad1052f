/** Conformance cases of leases, locks and elections. */
import { assert, assertEquals } from "@std/assert";
import { call, type Case, type CaseStep, header } from "./case.ts";

const LONG_TTL = 600;
const NOT_FOUND = { fails: 5, text: "etcdserver: requested lease not found" };
const DELETE = 1;

/** Returns the grant of a lease. */
function grant(ID: number, rev: number): CaseStep {
  return call("Lease/LeaseGrant", { TTL: LONG_TTL, ID }, { ...header(rev), ID, TTL: LONG_TTL });
}

/** The cases. */
export const LEASE_CASES: readonly Case[] = [
  {
    name: "LeaseGrant",
    steps: ({ lease, rev }) => [
      call("Lease/LeaseGrant", { TTL: 1, ID: lease(1) }, ({ ID, TTL }) => {
        assertEquals(ID, lease(1));
        assert(Number(TTL) >= 2, `a TTL of ${TTL}`);
      }),
      grant(lease(2), rev),
      call("Lease/LeaseGrant", { TTL: LONG_TTL, ID: lease(2) }, {
        fails: 9,
        text: "etcdserver: lease already exists",
      }),
      call("Lease/LeaseGrant", { TTL: 9_000_000_001 }, {
        fails: 11,
        text: "etcdserver: too large lease TTL",
      }),
      call("Lease/LeaseGrant", { TTL: LONG_TTL }, ({ ID }) => assert(BigInt(String(ID)) > 0n)),
    ],
  },
  {
    name: "LeaseRevoke",
    steps: ({ key, lease, rev }) => [
      grant(lease(1), rev),
      ...["c", "a", "b"].map((name, at) =>
        call("KV/Put", { key: key(name), lease: lease(1) }, header(rev + at + 1))
      ),
      { kind: "open", method: "Watch/Watch" },
      { kind: "send", request: { create_request: { key: key("a"), range_end: key("z") } } },
      { kind: "next", expected: { ...header(rev + 3), created: true } },
      call("Lease/LeaseRevoke", { ID: lease(1) }, header(rev + 4)),
      {
        kind: "next",
        expected: {
          ...header(rev + 4),
          events: ["a", "b", "c"].map((name) => ({
            type: DELETE,
            kv: { key: key(name), mod_revision: rev + 4 },
          })),
        },
      },
      call("Lease/LeaseRevoke", { ID: lease(1) }, NOT_FOUND),
    ],
  },
  {
    name: "LeaseKeepAlive",
    steps: ({ lease, rev }) => [
      grant(lease(1), rev),
      { kind: "open", method: "Lease/LeaseKeepAlive" },
      { kind: "send", request: { ID: lease(9) } },
      { kind: "next", expected: { ...header(rev), ID: lease(9) } },
      { kind: "send", request: { ID: lease(1) } },
      { kind: "next", expected: { ...header(rev), ID: lease(1), TTL: LONG_TTL } },
    ],
  },
  {
    name: "LeaseTimeToLive",
    steps: ({ key, lease, rev }) => [
      call("Lease/LeaseTimeToLive", { ID: lease(9), keys: true }, { ...header(rev), ID: lease(9), TTL: -1 }),
      grant(lease(1), rev),
      call("KV/Put", { key: key("k"), lease: lease(1) }, header(rev + 1)),
      call("Lease/LeaseTimeToLive", { ID: lease(1), keys: true }, ({ ID, TTL, grantedTTL, keys }) => {
        assertEquals({ ID, grantedTTL, keys }, { ID: lease(1), grantedTTL: LONG_TTL, keys: [key("k")] });
        assert([LONG_TTL, LONG_TTL - 1].includes(Number(TTL)), `a TTL of ${TTL}`);
      }),
    ],
  },
  {
    name: "the lease of a key",
    steps: ({ key, lease, rev }) => [
      grant(lease(1), rev),
      grant(lease(2), rev),
      call("KV/Put", { key: key("k"), value: "v", lease: lease(1) }, header(rev + 1)),
      call("KV/Put", { key: key("k"), ignore_value: true, lease: lease(2) }, header(rev + 2)),
      call("Lease/LeaseRevoke", { ID: lease(1) }, header(rev + 2)),
      call("KV/Put", { key: key("k"), value: "w", ignore_lease: true }, header(rev + 3)),
      call("KV/Range", { key: key("k") }, {
        ...header(rev + 3),
        kvs: [{
          key: key("k"),
          create_revision: rev + 1,
          mod_revision: rev + 3,
          version: 3,
          value: "w",
          lease: lease(2),
        }],
        count: 1,
      }),
      call("KV/Put", { key: key("k"), value: "x" }, header(rev + 4)),
      call("Lease/LeaseRevoke", { ID: lease(2) }, header(rev + 4)),
    ],
  },
  {
    name: "Lock and Unlock",
    steps: ({ key, lease, rev }) => {
      const owner = `${key("n")}/${lease(1).toString(16)}`;
      return [
        grant(lease(1), rev),
        call("v3lockpb.Lock/Lock", { name: key("n"), lease: lease(1) }, { ...header(rev + 1), key: owner }),
        call("v3lockpb.Lock/Lock", { name: key("n"), lease: lease(1) }, { ...header(rev + 1), key: owner }),
        call("v3lockpb.Lock/Lock", { name: key("n"), lease: lease(9) }, {
          fails: 2,
          text: "etcdserver: requested lease not found",
        }),
        call("v3lockpb.Lock/Unlock", { key: owner }, header(rev + 2)),
        call("v3lockpb.Lock/Unlock", { key: owner }, header(rev + 2)),
      ];
    },
  },
  {
    name: "Campaign, Proclaim, Leader and Resign",
    steps: ({ key, lease, rev }) => {
      const name = key("n");
      const owner = `${name}/${lease(1).toString(16)}`;
      const leader = { name, key: owner, rev: rev + 1, lease: lease(1) };
      const kv = { key: owner, create_revision: rev + 1, lease: lease(1) };
      return [
        grant(lease(1), rev),
        call("v3electionpb.Election/Leader", { name }, { fails: 2, text: "election: no leader" }),
        call("v3electionpb.Election/Campaign", { name, lease: lease(1), value: "v" }, {
          ...header(rev + 1),
          leader,
        }),
        call("v3electionpb.Election/Leader", { name }, {
          ...header(rev + 1),
          kv: { ...kv, mod_revision: rev + 1, version: 1, value: "v" },
        }),
        call("v3electionpb.Election/Proclaim", { leader, value: "w" }, header(rev + 2)),
        call("v3electionpb.Election/Proclaim", { leader: { ...leader, rev: rev + 9 }, value: "w" }, {
          fails: 2,
          text: "election: not leader",
        }),
        call("v3electionpb.Election/Resign", {}, { fails: 2, text: '"leader" field must be provided' }),
        call("v3electionpb.Election/Resign", { leader }, header(rev + 3)),
      ];
    },
  },
];
