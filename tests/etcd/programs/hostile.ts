/** Requests of which no client library is the author: wrong bytes, unknown methods, everything at its limit. */
import { call, type Choices, putBody } from "./requests.ts";
import { base64, type Step } from "./step.ts";

const MIB = 1_048_576;
const MAX_OPERATIONS = 128;
/** A varint without end, a length beyond the message, a field of number 0, an end of a group, a wrong wire type. */
const BROKEN = ["\xff", "\x0a\x7f", "\x02\x00", "\x0c", "\x0d\x01\x02\x03\x04", "\x08\x01"] as const;
const METHODS = [
  "KV/Range",
  "KV/Put",
  "KV/Txn",
  "KV/DeleteRange",
  "Lease/LeaseGrant",
  "Auth/Authenticate",
] as const;

/** Returns a few of them. */
export function hostileSteps(choices: Choices): readonly Step[] {
  const { random } = choices;
  return Array.from({ length: 6 }, () => random.pick(KINDS)(choices));
}

const KINDS: readonly ((choices: Choices) => Step)[] = [
  ({ random }) => ({
    kind: "raw",
    call: `etcdserverpb.${random.pick(METHODS)}`,
    raw: base64(random.pick(BROKEN)),
  }),
  ({ random }) => ({
    kind: "raw",
    call: random.pick(["etcdserverpb.KV/Nothing", "etcdserverpb.Nothing/Range", "Nothing/Nothing"]),
    raw: "",
  }),
  // A field that no message has is left out.
  () => ({ kind: "raw", call: "etcdserverpb.KV/Range", raw: base64("\x0a\x01x\xfa\x3f\x03abc") }),
  (choices) => {
    const length = choices.random.pick([MIB, 1.5 * MIB, 1.6 * MIB, 2 * MIB, 2.1 * MIB]);
    return call("KV/Put", { key: base64(choices.prefix), value: base64("x".repeat(length)) });
  },
  (choices) => {
    const count = choices.random.pick([MAX_OPERATIONS - 1, MAX_OPERATIONS, MAX_OPERATIONS + 1]);
    const key = (at: number): string => base64(`${choices.prefix}${String(at).padStart(3, "0")}`);
    const inner = choices.random.pick([0, 1, 2]);
    const nested = Array.from({ length: inner }, (_, at) => ({ request_put: { key: key(500 + at) } }));
    return call("KV/Txn", {
      success: [
        ...Array.from(
          { length: count - (inner > 0 ? 1 : 0) },
          (_, at) => ({ request_put: { key: key(at) } }),
        ),
        ...(inner > 0 ? [{ request_txn: { success: nested } }] : []),
      ],
    });
  },
  (choices) =>
    call("KV/Txn", {
      compare: Array.from({ length: choices.random.pick([MAX_OPERATIONS, MAX_OPERATIONS + 1]) }, () => ({
        key: choices.key(),
        target: "VERSION",
        result: "GREATER",
        version: "-1",
      })),
      success: [{ request_put: putBody(choices) }],
    }),
  ({ random }) => {
    const [method, body] = random.pick(
      [
        ["Auth/Authenticate", { name: "x", password: "y" }],
        ["Auth/UserGet", { name: "nothing" }],
        ["Auth/UserDelete", { name: "nothing" }],
        ["Auth/UserAdd", { name: "" }],
        ["Auth/UserChangePassword", { name: "nothing", password: "x" }],
        ["Auth/UserGrantRole", { user: "nothing", role: "nothing" }],
        ["Auth/RoleGet", { role: "nothing" }],
        ["Auth/RoleDelete", { role: "nothing" }],
        ["Auth/RoleAdd", { name: "" }],
        ["Auth/RoleGrantPermission", { name: "nothing", perm: { key: base64("x") } }],
        ["Auth/RoleRevokePermission", { role: "nothing", key: base64("x") }],
        ["Auth/AuthEnable", {}],
        ["Auth/AuthDisable", {}],
        ["Auth/UserList", {}],
        ["Auth/RoleList", {}],
        ["Cluster/MemberRemove", { ID: "4711" }],
        ["Cluster/MemberPromote", { ID: "4711" }],
        ["Cluster/MemberUpdate", { ID: "4711", peerURLs: ["http://127.0.0.1:1"] }],
        ["Cluster/MemberAdd", { peerURLs: ["nothing"] }],
        ["Maintenance/MoveLeader", { targetID: "4711" }],
        ["Maintenance/Alarm", {}],
        ["Maintenance/Defragment", {}],
      ] as const,
    );
    return call(method, body);
  },
];
