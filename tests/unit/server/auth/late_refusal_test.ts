/** Reply: a request that was let through is answered only by a state in which its user still has the right. */
import { assertEquals } from "@std/assert";
import { type AuthChange, type Mutation, StateMachine } from "../../../../lib/kv/mod.ts";
import type { ClientRequest } from "../../../../lib/protocol/client_frames.ts";
import { ConnectionIdentity } from "../../../../lib/server/auth/connection_identity.ts";
import { Reply } from "../../../../lib/server/reply.ts";
import { accessTo, passwordHash } from "../../../support/fakes/auth.ts";
import { prefix } from "../../../support/frames/user_client.ts";

const KEY = new TextEncoder().encode("app/key");
const GET: ClientRequest = { kind: "get", requestId: 1, key: KEY, consistency: "linearizable" };
const GRANT = { right: "read", keys: prefix("app/") } as const;

/** A node's state, in which alice may read the keys with the prefix app/, with authentication on. */
class Bench {
  readonly machine = new StateMachine();
  nowMs = 0;
  readonly identity = new ConnectionIdentity(
    { remote: "10.0.0.1:5000", certificate: null },
    { wallClock: () => this.nowMs },
  );

  constructor() {
    const { auth } = this.machine;
    const changes: readonly AuthChange[] = [
      { kind: "addUser", user: "alice", password: passwordHash("a") },
      { kind: "addRole", role: "readers" },
      { kind: "addGrant", role: "readers", grant: GRANT },
      { kind: "grantRole", user: "alice", role: "readers" },
      { kind: "addUser", user: "root", password: passwordHash("r") },
      { kind: "grantRole", user: "root", role: "root" },
      { kind: "setEnabled", enabled: true },
    ];
    for (const change of changes) auth.change(change);
    this.signIn(null);
  }

  /** Signs alice in. */
  signIn(expiresAtMs: number | null): void {
    const alice = this.machine.auth.user("alice");
    const { id: userId, passwordRevision: credential } = alice ?? { id: 0, passwordRevision: 0 };
    this.identity.signIn({ userId, credential, via: "token", expiresAtMs });
  }

  reply(request: ClientRequest): Reply {
    const { identity } = this;
    return new Reply(request, { identity, send: () => {}, fail: () => {} }, {
      leadership: { current: { leader: null, term: 0 } },
      access: accessTo(() => this.machine),
      metrics: null,
    });
  }
}

Deno.test("Reply: a right that was taken away after the request was let through refuses its answer", () => {
  const bench = new Bench();
  const reply = bench.reply(GET);
  assertEquals([reply.refusal(), reply.lateRefusal()], [null, null]);
  bench.machine.auth.change({ kind: "addUser", user: "bob", password: null });
  assertEquals(reply.lateRefusal(), null, "a change that does not concern the right");
  bench.machine.auth.change({ kind: "removeGrant", role: "readers", grant: GRANT });
  // Another request of the connection, so that its user is known as of the present state.
  assertEquals(bench.reply(GET).refusal()?.code, "permissionDenied");
  assertEquals(reply.lateRefusal()?.code, "permissionDenied");
});

Deno.test("Reply: a token that expired after the request was let through refuses its answer", () => {
  const bench = new Bench();
  bench.signIn(1_000);
  const reply = bench.reply(GET);
  assertEquals(reply.refusal(), null);
  bench.nowMs = 999;
  assertEquals(reply.lateRefusal(), null);
  bench.nowMs = 1_000;
  assertEquals(reply.lateRefusal()?.code, "tokenExpired");
});

Deno.test("Reply: authentication that was enabled after the request began refuses its answer", () => {
  const bench = new Bench();
  const { auth } = bench.machine;
  auth.change({ kind: "setEnabled", enabled: false });
  auth.change({ kind: "removeUser", user: "alice" });
  const reply = bench.reply(GET);
  assertEquals([reply.refusal(), reply.lateRefusal()], [null, null]);
  auth.change({ kind: "setEnabled", enabled: true });
  assertEquals(reply.lateRefusal()?.code, "unauthenticated");
});

Deno.test("Reply: a key that was attached to a lease after the request began refuses to show the lease's keys", () => {
  const bench = new Bench();
  const { machine } = bench;
  const mutation = (key: string): Mutation => (
    { kind: "expiringPut", key: new TextEncoder().encode(key), value: KEY, leaseId: 7, expiresAtMs: null }
  );
  let index = 0;
  machine.apply(++index, { kind: "raiseFeatureLevel", level: 2 });
  const root = machine.auth.user("root");
  const identity = { userId: root?.id ?? 0, credential: 0, authRevision: machine.auth.revision };
  const apply = (key: string): void => {
    const mutations = [mutation(key)];
    const command = { kind: "transaction", session: null, checks: [], mutations } as const;
    assertEquals(machine.apply(++index, { kind: "authorized", identity, command }).kind, "applied");
  };
  const command = { kind: "grantLease", session: null, leaseId: 7, ttlMs: 60_000 } as const;
  machine.apply(++index, { kind: "authorized", identity, command });
  apply("app/key");
  const request = { kind: "lease", requestId: 1, leaseId: 7, keys: true, after: null } as const;
  const reply = bench.reply({ ...request, consistency: "linearizable" });
  assertEquals([reply.refusal(), reply.lateRefusal()], [null, null]);
  apply("secret/key");
  const refusal = reply.lateRefusal();
  assertEquals([refusal?.code, refusal?.message.includes("secret")], ["permissionDenied", false]);
});
