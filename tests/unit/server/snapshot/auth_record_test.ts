/** The users, roles and tokens of a snapshot: they are read unchanged, and invalid records are refused. */
import { encode, type ValueType } from "@std/msgpack";
import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { MAX_ROLES, MAX_USER_TOKENS, MAX_USERS, StateMachine } from "../../../../lib/kv/mod.ts";
import { encodeResult } from "../../../../lib/protocol/command.ts";
import { DecodeError } from "../../../../lib/protocol/errors.ts";
import { readState } from "../../../../lib/server/snapshot/state_codec.ts";
import { chunksOf, noYield } from "../../../support/server_state.ts";
import { put, stamp, transaction } from "../../kv/support.ts";
import { anyChange, AuthReplica, onPrefix, PASSWORD } from "../../kv/auth/support.ts";

async function machineFrom(chunks: readonly Uint8Array[]): Promise<StateMachine> {
  const restoring = StateMachine.restoring();
  return await readState(ReadableStream.from(chunks), { restoring, yieldToEventLoop: noYield });
}

function recordsOf(machine: StateMachine): unknown {
  return [...machine.snapshot().records()];
}

Deno.test("readState: users, roles and tokens are read from their bytes unchanged", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyChange(), { maxLength: 40 }), async (changes) => {
      const replica = new AuthReplica();
      replica.skipTo(60);
      for (const change of changes) replica.machine.auth.change(change);
      const { machine } = replica;
      const copy = await machineFrom(await chunksOf(machine));
      assertEquals(recordsOf(copy), recordsOf(machine));
    }),
    { numRuns: 200 },
  );
});

Deno.test("readState: the user of a session and the answers to changes of users are read", async () => {
  const replica = new AuthReplica();
  replica.addUser("ann", onPrefix("write", "a/"));
  const change = { kind: "addUser", user: "bob", password: PASSWORD } as const;
  replica.apply({ kind: "changeAuth", session: stamp({ sessionId: 8 }), change });
  replica.apply({ kind: "changeAuth", session: stamp({ sessionId: 8, sequence: 2 }), change });
  replica.enable();
  replica.as("ann", transaction([put("a/1", "x")], { session: stamp({ openedAt: 1 }) }));
  const copy = await machineFrom(await chunksOf(replica.machine));
  assertEquals(recordsOf(copy), recordsOf(replica.machine));
  const records = replica.records();
  assertEquals(records.filter(([kind]) => kind === "session").map((record) => record.length), [8, 7]);
});

const HEADER: ValueType[] = ["header", 9, 7, 1_000, 3, 2, 5];
const AUTH: ValueType[] = ["auth", false, 9];
const ROLE: ValueType[] = ["role", "reader"];
const USER: ValueType[] = ["user", 2, "ann", null, 2, ["reader"]];
const HASH = new Uint8Array(32).fill(7);
const TOKEN: ValueType[] = ["token", 2, "job", 3, HASH, null];

function grant(right: number, ...keys: ValueType[]): ValueType[] {
  return ["grant", [right, keys]];
}

function password(cost: number, blockSize: number, saltBytes: number): ValueType[] {
  return [1, cost, blockSize, 1, new Uint8Array(saltBytes), HASH];
}

/** Asserts that records after a header are refused, for a reason. */
async function assertRefused(reason: string, ...records: readonly ValueType[][]): Promise<void> {
  const chunk = encode([HEADER, ...records]);
  const error = await assertRejects(() => machineFrom([chunk]), DecodeError);
  assert(error.message.includes(reason), `${reason}: ${error.message}`);
}

const KEY = new Uint8Array([1]);

Deno.test("readState: records of roles and grants that no state machine wrote are refused", async () => {
  await machineFrom([encode([HEADER, AUTH, ROLE, grant(1, 1, KEY), USER, TOKEN])]);
  await assertRefused("must be auth before users and roles", ROLE);
  await assertRefused("must be auth before users and roles", AUTH, AUTH);
  await assertRefused("auth revision must be an integer from 1", ["auth", false, 0]);
  await assertRefused("auth revision must not be above 9", ["auth", false, 10]);
  await assertRefused("must be of users and roles before others", ["lease", 4, 2_000, 3_000], AUTH);
  await assertRefused("a user with the role root exists", ["auth", true, 9], ROLE, USER);
  await assertRefused("role must be after the one before", AUTH, ROLE, ROLE);
  await assertRefused("role must be after the one before, and not root", AUTH, ["role", "root"]);
  await assertRefused("role must be after the one before", AUTH, ["user", 2, "ann", null, 2, []], ROLE);
  await assertRefused("role must be a valid name", AUTH, ["role", "a/b"]);
  const roles = Array.from({ length: MAX_ROLES + 1 }, (_, number) => ["role", `${number}`.padStart(5, "0")]);
  await assertRefused("role must not be one above 1000", AUTH, ...roles);
  await assertRefused("grant must follow a role", AUTH, grant(1, 1, KEY));
  await assertRefused("grant must follow a role", AUTH, ROLE, USER, grant(1, 1, KEY));
  await assertRefused("grant must be after the one before", AUTH, ROLE, grant(1, 1, KEY), grant(1, 1, KEY));
  await assertRefused("grant must keep the limits", AUTH, ROLE, grant(1, 1, new Uint8Array(0)));
  await assertRefused("grant must keep the limits", AUTH, ROLE, grant(1, 2, KEY, KEY));
});

Deno.test("readState: records of users and tokens that no state machine wrote are refused", async () => {
  await assertRefused("userId must be an integer from 3", AUTH, ROLE, USER, USER);
  await assertRefused("userId must not be above 9", AUTH, ["user", 10, "ann", null, 10, []]);
  await assertRefused("user must not have the name of another", AUTH, ROLE, USER, [
    "user",
    3,
    "ann",
    null,
    3,
    [],
  ]);
  await assertRefused("passwordRevision must be an integer from 2", AUTH, ["user", 2, "ann", null, 1, []]);
  await assertRefused("roles must exist", AUTH, USER);
  await assertRefused("roles must exist", AUTH, ROLE, ["user", 2, "ann", null, 2, ["root", "reader"]]);
  const withPassword = (
    ...of: Parameters<typeof password>
  ): ValueType[] => ["user", 2, "ann", password(...of), 2, []];
  await machineFrom([encode([HEADER, AUTH, withPassword(2 ** 15, 8, 16)])]);
  await assertRefused(
    "password must be a hash that this version makes",
    AUTH,
    withPassword(2 ** 15 + 1, 8, 16),
  );
  await assertRefused("password must be a hash that this version makes", AUTH, withPassword(2 ** 15, 8, 15));
  await assertRefused("blockSize", AUTH, withPassword(2 ** 15, 9, 16));
  await assertRefused("userId must be that of the user before", AUTH, TOKEN);
  await assertRefused("userId must be that of the user before", AUTH, ROLE, USER, [
    "token",
    3,
    "a",
    4,
    HASH,
    null,
  ]);
  await assertRefused("token must not have the name", AUTH, ROLE, USER, TOKEN, [
    "token",
    2,
    "job",
    4,
    HASH,
    null,
  ]);
  await assertRefused("credential must be an integer from 4", AUTH, ROLE, USER, TOKEN, [
    "token",
    2,
    "b",
    3,
    HASH,
    1,
  ]);
  await assertRefused("credential must not be that of the password", AUTH, ROLE, [
    ...["user", 2, "ann", null, 4, []],
  ], ["token", 2, "job", 4, HASH, null]);
  await assertRefused("hash must have 32 bytes", AUTH, ROLE, USER, ["token", 2, "job", 3, KEY, null]);
  await assertRefused("hash must have 32 bytes and not be", AUTH, ROLE, USER, TOKEN, [
    "token",
    2,
    "b",
    4,
    HASH,
    null,
  ]);
  await assertRefused("userId must not be above 0", ["session", 4, 5, 6, 9, 1_000, 2, 1]);
  await assertRefused("userId must be an integer from 1", AUTH, ["session", 4, 5, 6, 9, 1_000, 2, 0]);
});

Deno.test("readState: more users or tokens than are allowed are refused", async () => {
  const header: ValueType[] = ["header", 20_000, 7, 1_000, 3, 2, 5];
  const auth: ValueType[] = ["auth", false, 20_000];
  const users = Array.from({ length: MAX_USERS + 1 }, (_, position): ValueType[] => {
    return ["user", position + 1, `user-${position}`, null, position + 1, []];
  });
  await assertRejects(
    () => machineFrom([encode([header, auth, ...users])]),
    DecodeError,
    "user must not be one above",
  );
  const tokens = Array.from({ length: MAX_USER_TOKENS + 1 }, (_, position): ValueType[] => {
    return ["token", 1, `${position}`, position + 2, new Uint8Array(32).fill(position), null];
  });
  await assertRejects(
    () => machineFrom([encode([header, auth, ["user", 1, "ann", null, 1, []], ...tokens])]),
    DecodeError,
    "token must not be one above",
  );
});

Deno.test("readState: at feature level 1 there are no users and no answers to changes of them", async () => {
  const header: ValueType[] = ["header", 9, 7, 1_000, 3];
  await assertRejects(() => machineFrom([encode([header, AUTH])]), DecodeError, "at feature level 2 only");
  const answer = encodeResult({ kind: "authChanged", authRevision: 1 });
  const session: ValueType[] = ["session", 4, 5, 6, 9, 1_000, 2];
  await assertRejects(
    () => machineFrom([encode([header, session, ["answer", 4, 2, answer]])]),
    DecodeError,
    "must be the result of a write",
  );
});
