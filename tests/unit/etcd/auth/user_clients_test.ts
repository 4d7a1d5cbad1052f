/** Tests of the clients of users: which token leads to which, when they are closed, and floods. */
import { assertEquals, assertRejects } from "@std/assert";
import { toCredentials } from "../../../../lib/client/auth/credentials.ts";
import type { ClientCore } from "../../../../lib/client/core.ts";
import { AuthenticationError, ConnectionError } from "../../../../lib/client/errors.ts";
import {
  IDLE_MS,
  MAX_SIGN_INS_PER_SOURCE,
  TOKEN_LIFE_MS,
  UserClients,
  type UserCredentials,
} from "../../../../lib/etcd/auth/user_clients.ts";
import { EtcdError } from "../../../../lib/etcd/rpc/status.ts";
import { ManualClock, settle } from "../../../support/fakes/manual_clock.ts";

const REMOTE = "10.0.0.1:5000";
const OTHER = "10.0.0.2:5000";

/** A client that a test connects. */
interface FakeCore {
  readonly name: string;
  readonly credentials: UserCredentials;
  readonly remote: string | null;
  isClosed: boolean;
}

/** The clients of a front end, with a cluster that has the password "right" for every user. */
class Bench implements AsyncDisposable {
  readonly clock = new ManualClock();
  readonly connected: FakeCore[] = [];
  /** Tokens that nodes accept. */
  readonly valid = new Set<string>();
  /** The ticket that a sign-in gives. */
  ticket = "";
  /** Whether sign-ins end. */
  isAnswering = true;
  isReachable = true;
  readonly anonymous: FakeCore = { name: "none", credentials: { token: "" }, remote: null, isClosed: false };
  readonly clients = new UserClients({
    anonymous: coreOf(this.anonymous, null),
    connect: (credentials, remote) => this.#connect(credentials, remote),
    clock: this.clock,
    wallClock: () => this.clock.now(),
  });

  /** Returns the name of the client that a token leads to. */
  async use(token: string | null, remote = REMOTE): Promise<string> {
    const { core, release } = await this.clients.use(token, remote);
    release();
    return nameOf(core);
  }

  /** Returns the tokens and addresses of the sign-ins since the last call. */
  signIns(): readonly string[] {
    return this.connected.splice(0).map(({ name, remote }) => `${name} from ${remote ?? "the front end"}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.clients.close();
  }

  async #connect(credentials: UserCredentials, remote: string | null): Promise<ClientCore> {
    if ("password" in credentials) toCredentials({ cluster: [], ...credentials });
    if (!this.isReachable) throw new ConnectionError("Cannot reach a node.");
    if (!this.isAnswering) await new Promise<void>(() => {});
    const secret = "password" in credentials
      ? credentials.password
      : typeof credentials.token === "string"
      ? credentials.token
      : credentials.token();
    const isRight = "password" in credentials ? secret === "right" : this.valid.has(secret);
    const name = "password" in credentials ? credentials.user : secret;
    const core = { name, credentials, remote, isClosed: false };
    this.connected.push(core);
    if (!isRight) throw new AuthenticationError("Cannot sign in.", { reason: "signInFailed", user: null });
    return coreOf(core, "password" in credentials ? this.ticket : null);
  }
}

const names = new WeakMap<ClientCore, FakeCore>();

function coreOf(fake: FakeCore, ticket: string | null): ClientCore {
  const close = (): Promise<void> => {
    fake.isClosed = true;
    return Promise.resolve();
  };
  // UserClients uses nothing else of a client.
  const core: ClientCore = Object.create(null, {
    signIns: { value: { answer: { ticket } } },
    pool: { value: { close } },
  });
  names.set(core, fake);
  return core;
}

function nameOf(core: ClientCore): string {
  return names.get(core)?.name ?? "";
}

function ticketOf(userId: number, issuedAtMs: number, sign = "s"): string {
  return `kve_${userId}.1.${issuedAtMs}.${sign.repeat(85)}A`;
}

Deno.test("UserClients: no token, and a text that is none, lead to the client without a user", async () => {
  await using bench = new Bench();
  for (const token of [null, "", "hGHuYeyUKGkQIjis.13", "kvt_short", "x".repeat(100_000)]) {
    assertEquals(await bench.use(token), "none");
  }
  assertEquals(bench.signIns(), []);
});

Deno.test("UserClients: a sign-in gives a token, which is used without another check", async () => {
  await using bench = new Bench();
  bench.ticket = ticketOf(7, 0);
  bench.valid.add(bench.ticket);
  assertEquals(await bench.clients.signIn({ name: "ada", password: "right" }, REMOTE), bench.ticket);
  assertEquals(bench.connected.map(({ isClosed }) => isClosed), [true]);
  assertEquals(await bench.use(bench.ticket), bench.ticket);
  assertEquals(bench.signIns(), [`ada from ${REMOTE}`, `${bench.ticket} from the front end`]);
});

Deno.test("UserClients: a token of another front end is checked once, from the address that shows it", async () => {
  await using bench = new Bench();
  const ticket = ticketOf(7, 0);
  bench.valid.add(ticket);
  assertEquals(await Promise.all([bench.use(ticket), bench.use(ticket)]), [ticket, ticket]);
  assertEquals(await bench.use(ticket, OTHER), ticket);
  assertEquals(bench.signIns(), [`${ticket} from ${REMOTE}`, `${ticket} from the front end`]);
});

Deno.test("UserClients: tokens of one user share a client, which signs in by the newest", async () => {
  await using bench = new Bench();
  const [first, second] = [ticketOf(7, 0), ticketOf(7, 1)];
  bench.valid.add(first).add(second);
  assertEquals([await bench.use(first), await bench.use(second)], [first, first]);
  const client = bench.connected[1]?.credentials;
  assertEquals(
    client !== undefined && "token" in client && typeof client.token === "function" && client.token(),
    second,
  );
  assertEquals([bench.clients.size, bench.signIns().length], [1, 3]);
});

Deno.test("UserClients: a token is accepted for five minutes after it was given or used here", async () => {
  await using bench = new Bench();
  const ticket = ticketOf(7, 0);
  bench.valid.add(ticket);
  for (let uses = 0; uses < 4; uses++) {
    assertEquals(await bench.use(ticket), ticket);
    bench.clock.advance(TOKEN_LIFE_MS - 1);
  }
  assertEquals(await bench.use(ticket), ticket);
  bench.clock.advance(TOKEN_LIFE_MS);
  assertEquals(await bench.use(ticket), "none");
  // Another front end has not seen it: it goes by the time at which it was given.
  const old = ticketOf(8, 0);
  bench.valid.add(old);
  assertEquals(await bench.use(old), "none");
});

Deno.test("UserClients: a refused token is not sent again at once, and forged ones do not lead to a user", async () => {
  await using bench = new Bench();
  const ticket = ticketOf(7, 0);
  bench.valid.add(ticket);
  assertEquals(await bench.use(ticket), ticket);
  bench.signIns();
  const forged = ticketOf(7, 0, "f");
  for (let count = 0; count < 100; count++) assertEquals(await bench.use(forged), "none");
  assertEquals(bench.signIns(), [`${forged} from ${REMOTE}`]);
});

Deno.test("UserClients: a token of kvraft's own has a client for itself, and no time by which it ends here", async () => {
  await using bench = new Bench();
  const token = `kvt_${"a".repeat(43)}`;
  bench.valid.add(token);
  assertEquals(await bench.use(token), token);
  bench.clock.advance(2 * TOKEN_LIFE_MS);
  assertEquals(await bench.use(token), token);
});

Deno.test("UserClients: a wrong name or password has etcd's text, and one that no user can have is not sent", async () => {
  await using bench = new Bench();
  const long = ["x".repeat(129), "x".repeat(1_025)] as const;
  const attempts = [["ada", "wrong"], ["", "right"], ["ada", ""], [long[0], "right"], [
    "ada",
    long[1],
  ]] as const;
  for (const [name, password] of attempts) {
    await assertRejects(
      () => bench.clients.signIn({ name, password }, REMOTE),
      EtcdError,
      "etcdserver: authentication failed, invalid user ID or password",
    );
  }
  assertEquals(bench.signIns(), [`ada from ${REMOTE}`]);
});

Deno.test("UserClients: sign-ins of an address beyond a bound are refused, those of others are not", async () => {
  await using bench = new Bench();
  bench.isAnswering = false;
  const signIn = (remote: string): Promise<string> =>
    bench.clients.signIn({ name: "ada", password: "right" }, remote);
  for (let count = 0; count < MAX_SIGN_INS_PER_SOURCE; count++) void signIn(`10.0.0.1:${5_000 + count}`);
  await assertRejects(() => signIn(REMOTE), EtcdError, "etcdserver: too many requests");
  bench.isAnswering = true;
  bench.ticket = ticketOf(7, 0);
  assertEquals(await signIn(OTHER), bench.ticket);
});

Deno.test("UserClients: a client without requests is closed after a while, one with a stream is not", async () => {
  await using bench = new Bench();
  const [idle, busy] = [ticketOf(7, 0), ticketOf(8, 0)];
  bench.valid.add(idle).add(busy);
  assertEquals(await bench.use(idle), idle);
  const used = await bench.clients.use(busy, REMOTE);
  bench.clock.advance(2 * IDLE_MS);
  await settle();
  assertEquals(bench.connected.filter(({ remote }) => remote === null).map(({ isClosed }) => isClosed), [
    true,
    false,
  ]);
  used.release();
  bench.clock.advance(2 * IDLE_MS);
  await settle();
  assertEquals(bench.clients.size, 0);
});

Deno.test("UserClients: while no node answers, a token is neither accepted nor refused", async () => {
  await using bench = new Bench();
  const ticket = ticketOf(7, 0);
  bench.valid.add(ticket);
  bench.isReachable = false;
  await assertRejects(() => bench.use(ticket), EtcdError, "etcdserver: request timed out");
  const ada = { name: "ada", password: "right" };
  await assertRejects(() => bench.clients.signIn(ada, REMOTE), EtcdError, "etcdserver: request timed out");
  bench.isReachable = true;
  assertEquals(await bench.use(ticket), ticket);
});
