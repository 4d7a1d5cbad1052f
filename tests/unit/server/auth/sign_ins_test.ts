/** SignIns: failures are slowed down, counted and tell nothing; a user that was just added is found. */
import { assert, assertEquals } from "@std/assert";
import { AuthState } from "../../../../lib/kv/auth/auth_state.ts";
import { sha256Of } from "../../../../lib/platform/secrets.ts";
import type { RequestFrame } from "../../../../lib/protocol/client_frames.ts";
import { AuditLog } from "../../../../lib/server/auth/audit_log.ts";
import { ConnectionIdentity } from "../../../../lib/server/auth/connection_identity.ts";
import { FORGET_MS } from "../../../../lib/server/auth/failure_delays.ts";
import {
  MAX_HASHING,
  MAX_WAITING_CHECKS,
  MAX_WAITING_CHECKS_PER_SOURCE,
} from "../../../../lib/server/auth/password_checks.ts";
import {
  MAX_DELAYED_PASSWORDS_PER_NAME,
  MAX_DELAYED_PASSWORDS_PER_SOURCE,
  MAX_DELAYED_TOKENS_PER_SOURCE,
  type SignInClient,
  SignIns,
} from "../../../../lib/server/auth/sign_ins.ts";
import { createTicket, TICKET_LIFE_MS } from "../../../../lib/server/auth/tickets.ts";
import { Metrics } from "../../../../lib/server/metrics/metrics.ts";
import { hashOf, passwordHash, RecordingAudit } from "../../../support/fakes/auth.ts";
import { ManualClock, settle } from "../../../support/fakes/manual_clock.ts";

type Method = RequestFrame<"signIn">["method"];

/** A connection from an address. */
class Client implements SignInClient {
  readonly identity: ConnectionIdentity;
  isClosed = false;
  userChanges = 0;
  readonly #drops = new Set<() => void>();

  constructor(remote: string, clock: ManualClock) {
    this.identity = new ConnectionIdentity({ remote, certificate: null }, { wallClock: () => clock.now() });
  }

  fail(error: unknown): void {
    throw error;
  }

  onClosed(drop: () => void): () => void {
    this.#drops.add(drop);
    return () => this.#drops.delete(drop);
  }

  userChanged(): void {
    this.userChanges++;
  }

  close(): void {
    this.isClosed = true;
    for (const drop of this.#drops) drop();
  }
}

/** The sign-ins of a node whose user is alice, with the password "right". */
class Bench {
  readonly clock = new ManualClock();
  readonly auth = new AuthState();
  readonly audit = new RecordingAudit();
  readonly metrics = new Metrics(this.clock);
  readonly ended: string[] = [];
  /** The ticket of the last sign-in; null for none. */
  ticket: string | null = null;
  /** Number of hashes computed so far. */
  hashes = 0;
  /** Whether hashes end by themselves; else the test ends them. */
  isQuick = true;
  readonly hashing: (() => void)[] = [];
  /** Called when the node asks for an up-to-date state; returns whether it is. */
  catchUp: () => boolean = () => true;
  readonly signIns = new SignIns({
    auth: () => this.auth,
    whenUpToDate: (answer) => answer(this.catchUp()),
    clock: this.clock,
    wallClock: () => this.clock.now(),
    scrypt: async (password, parameters) => {
      this.hashes++;
      if (!this.isQuick) await new Promise<void>((resolve) => this.hashing.push(resolve));
      return hashOf(password, parameters);
    },
    audit: new AuditLog(this.audit, { clock: this.clock, recordsAllowed: () => false }),
    metrics: this.metrics,
  });

  constructor() {
    this.auth.change({ kind: "addUser", user: "alice", password: passwordHash("right") });
  }

  client(remote = "10.0.0.1:5000"): Client {
    return new Client(remote, this.clock);
  }

  /** Begins an attempt; its end is added to `ended`. */
  begin(name: string, method: Method, client = this.client()): void {
    const end = (text: string): void => void this.ended.push(`${name}: ${text}`);
    this.signIns.request({ kind: "signIn", requestId: 1, method }, {
      send: (message) => {
        end(message.kind);
        if (message.kind === "signedIn") this.ticket = message.ticket;
      },
      refuse: ({ code, message }) => end(`${code}, ${message}`),
      drop: () => end("dropped"),
    }, client);
  }

  /** Makes an attempt without a delay; returns its end. */
  async attempt(method: Method, client = this.client()): Promise<string> {
    this.begin("", method, client);
    await settle();
    const [end = "waits"] = this.ended.splice(0);
    return end.replace(/^: /, "").replace(/, .*$/, "");
  }
}

const byPassword = (user: string, password: string): Method => ({ kind: "password", user, password });
const byToken = (token: string): Method => ({ kind: "token", token });

Deno.test("SignIns: an unknown user, a wrong password and an unknown token have one text, the first two one amount of work", async () => {
  const bench = new Bench();
  const texts: string[] = [];
  const hashes: number[] = [];
  for (const method of [byPassword("unknown", "x"), byPassword("alice", "x"), byToken("x")]) {
    bench.hashes = 0;
    // Each from an address of its own, so that none is delayed.
    bench.begin("", method, bench.client(`10.0.0.${texts.length + 1}:5000`));
    await settle();
    texts.push(...bench.ended.splice(0));
    hashes.push(bench.hashes);
  }
  assertEquals(new Set(texts).size, 1, texts.join("\n"));
  assertEquals(hashes, [1, 1, 0]);
  assertEquals(bench.metrics.signIns.failed, 3);
});

Deno.test("SignIns: a right password signs in, and the connection has the user then", async () => {
  const bench = new Bench();
  const client = bench.client();
  assertEquals(client.identity.user(bench.auth), null);
  assertEquals(await bench.attempt(byPassword("alice", "right"), client), "signedIn");
  assertEquals([client.identity.user(bench.auth)?.user.name, client.userChanges], ["alice", 1]);
  assertEquals(bench.audit.lines, [{
    message: "audit: sign-in",
    fields: { user: "alice", via: "password", remote: "10.0.0.1:5000", result: "ok" },
  }]);
});

Deno.test("SignIns: no line or text has a password, a token, or a name that is not a user's", async () => {
  const bench = new Bench();
  const secrets = ["hunter2", "kvt_secret", "typed-in-the-wrong-field"];
  bench.begin("a", byPassword("alice", "hunter2"));
  bench.begin("b", byToken("kvt_secret"));
  bench.begin("c", byPassword("typed-in-the-wrong-field", "x"));
  await settle();
  const all = JSON.stringify([bench.audit.lines, bench.ended]);
  assertEquals(bench.ended.length, 3);
  for (const secret of secrets) assert(!all.includes(secret), `${secret} is in ${all}`);
});

Deno.test("SignIns: a thousand wrong passwords are slowed down to one in ten seconds, and another user signs in meanwhile", async () => {
  const bench = new Bench();
  bench.auth.change({ kind: "addUser", user: "bob", password: passwordHash("bobs") });
  const eve = bench.client("10.0.0.66:5000");
  let failed = 0;
  for (let attempt = 0; attempt < 1_000; attempt++) {
    bench.begin("eve", byPassword("alice", `guess ${attempt}`), eve);
    await settle();
    if (bench.ended.length > 0) {
      failed += bench.ended.splice(0).filter((end) => end.includes("signInFailed")).length;
    }
    // Guesses that are made while one waits are refused, and no hash is computed for them.
    bench.clock.advance(100);
    await settle();
  }
  const seconds = bench.clock.now() / 1_000;
  assert(bench.hashes <= 8 + seconds / 10 + 1, `${bench.hashes} guesses in ${seconds} s`);
  assert(failed <= bench.hashes && failed >= 8, `${failed} guesses have failed`);
  assertEquals(await bench.attempt(byPassword("bob", "bobs"), bench.client("10.0.0.7:5000")), "signedIn");
  bench.begin("alice", byPassword("alice", "right"), bench.client("10.0.0.8:5000"));
  bench.clock.advance(10_000);
  await settle();
  assert(bench.ended.includes("alice: signedIn"), "alice waits for ten seconds at most");
});

Deno.test("SignIns: after a failure a bounded number of passwords of an address wait, and of it for a name", async () => {
  const bench = new Bench();
  assertEquals(await bench.attempt(byPassword("alice", "x")), "signInFailed");
  let clients = 0;
  const begin = (name: string): void =>
    bench.begin(name, byPassword(name, "x"), bench.client(`10.0.0.1:${5_001 + clients++}`));
  const ended = async (): Promise<readonly string[]> => {
    await settle();
    return bench.ended.splice(0).map((end) => end.replace(/,.*/, ""));
  };
  for (let number = 0; number <= MAX_DELAYED_PASSWORDS_PER_NAME; number++) begin("unknown");
  assertEquals(await ended(), ["unknown: busy"]);
  const others = MAX_DELAYED_PASSWORDS_PER_SOURCE - MAX_DELAYED_PASSWORDS_PER_NAME;
  for (let number = 0; number < others; number++) begin(`unknown ${number}`);
  assertEquals(await ended(), []);
  begin("alice");
  assertEquals(await ended(), ["alice: busy"]);
  assertEquals(await bench.attempt(byPassword("alice", "x"), bench.client("10.0.0.2:5000")), "waits");
  bench.clock.advance(100);
  await settle();
  assertEquals(
    bench.metrics.signIns.busy,
    2 + MAX_DELAYED_PASSWORDS_PER_SOURCE - MAX_HASHING - MAX_WAITING_CHECKS_PER_SOURCE,
  );
});

Deno.test("SignIns: unknown tokens of an address do not take the places of its passwords", async () => {
  const bench = new Bench();
  assertEquals(await bench.attempt(byToken("kvt_0")), "signInFailed");
  for (let number = 0; number < MAX_DELAYED_PASSWORDS_PER_SOURCE; number++) {
    bench.begin("token", byToken(`kvt_${number}`), bench.client(`10.0.0.1:${5_001 + number}`));
  }
  await settle();
  const refused = bench.ended.splice(0).length;
  assertEquals(refused, MAX_DELAYED_PASSWORDS_PER_SOURCE - MAX_DELAYED_TOKENS_PER_SOURCE);
  assertEquals(await bench.attempt(byPassword("alice", "right"), bench.client("10.0.0.1:6000")), "waits");
  bench.clock.advance(100);
  await settle();
  assert(bench.ended.some((end) => end.endsWith(": signedIn")), "alice signs in after the delay");
});

Deno.test("SignIns: a token that is known does not wait for the failures of others at its address, one that is not does", async () => {
  const bench = new Bench();
  bench.auth.change({
    kind: "addToken",
    user: "alice",
    token: "t",
    hash: sha256Of("kvt_1"),
    expiresAtMs: null,
  });
  assertEquals(await bench.attempt(byPassword("alice", "wrong")), "signInFailed");
  assertEquals(await bench.attempt(byToken("kvt_1")), "signedIn");
  assertEquals(await bench.attempt(byToken("kvt_2")), "waits");
});

Deno.test("SignIns: a connection makes one attempt at a time, and one that is closed makes none", async () => {
  const bench = new Bench();
  bench.isQuick = false;
  const client = bench.client();
  bench.begin("first", byPassword("alice", "right"), client);
  await settle();
  assertEquals(await bench.attempt(byPassword("alice", "right"), client), "busy");
  for (const end of bench.hashing.splice(0)) end();
  await settle();
  assertEquals(bench.ended.splice(0), ["first: signedIn"]);
  bench.isQuick = true;
  assertEquals(await bench.attempt(byPassword("alice", "x"), client), "signInFailed");
  const { hashes, clock: { timerCount } } = bench;
  bench.begin("closed", byPassword("alice", "right"), client);
  client.close();
  bench.clock.advance(1_000);
  await settle();
  assertEquals([bench.ended, bench.hashes, bench.clock.timerCount], [
    ["closed: dropped"],
    hashes,
    timerCount,
  ]);
});

Deno.test("SignIns: too many passwords at once are refused as busy, and are no failures", async () => {
  const bench = new Bench();
  bench.isQuick = false;
  const all = MAX_HASHING + MAX_WAITING_CHECKS + 1;
  for (let number = 0; number < all; number++) {
    bench.begin(`${number}`, byPassword("alice", "right"), bench.client(`10.0.1.${number}:5000`));
  }
  await settle();
  assertEquals(bench.ended.map((end) => end.replace(/,.*/, "")), [`${all - 1}: busy`]);
  bench.isQuick = true;
  while (bench.hashing.length > 0) {
    for (const end of bench.hashing.splice(0)) end();
    await settle();
  }
  assertEquals([bench.metrics.signIns.ok, bench.metrics.signIns.busy, bench.metrics.signIns.failed], [
    all - 1,
    1,
    0,
  ]);
});

Deno.test("SignIns: a user, password or token that this node has not applied yet is found after a read index", async () => {
  const bench = new Bench();
  const late = [
    [
      byPassword("carol", "new"),
      () => bench.auth.change({ kind: "addUser", user: "carol", password: passwordHash("new") }),
    ],
    [
      byPassword("alice", "new"),
      () => bench.auth.change({ kind: "setPassword", user: "alice", password: passwordHash("new") }),
    ],
    [byToken("kvt_new"), () =>
      bench.auth.change({
        kind: "addToken",
        user: "alice",
        token: "t",
        hash: sha256Of("kvt_new"),
        expiresAtMs: null,
      })],
  ] as const;
  for (const [method, change] of late) {
    bench.catchUp = () => {
      change();
      return true;
    };
    assertEquals(await bench.attempt(method), "signedIn", JSON.stringify(method));
  }
  bench.catchUp = () => false;
  assertEquals(await bench.attempt(byPassword("dave", "x")), "noLeader");
  assertEquals([bench.metrics.signIns.failed, bench.metrics.signIns.noLeader], [0, 1]);
  // It delays the next attempt as a failure does.
  assertEquals(await bench.attempt(byPassword("dave", "x")), "waits");
});

Deno.test("SignIns: a password that is changed while its hash is computed does not sign in", async () => {
  const bench = new Bench();
  bench.isQuick = false;
  bench.begin("old", byPassword("alice", "right"));
  await settle();
  bench.auth.change({ kind: "setPassword", user: "alice", password: passwordHash("another") });
  bench.isQuick = true;
  for (const end of bench.hashing.splice(0)) end();
  await settle();
  assertEquals(bench.ended.map((end) => end.replace(/,.*/, "")), ["old: signInFailed"]);
});

Deno.test("SignIns: an expired token is called so, and counts as no failure", async () => {
  const bench = new Bench();
  const hash = sha256Of("kvt_one");
  bench.auth.change({ kind: "addToken", user: "alice", token: "one", hash, expiresAtMs: 1_000 });
  const client = bench.client();
  assertEquals(await bench.attempt(byToken("kvt_one"), client), "signedIn");
  assertEquals(client.identity.user(bench.auth)?.expiresAtMs, 1_000);
  bench.clock.advance(1_000);
  assertEquals([client.identity.user(bench.auth), client.identity.refusal().code], [null, "tokenExpired"]);
  assertEquals(await bench.attempt(byToken("kvt_one"), client), "tokenExpired");
  assertEquals(await bench.attempt(byPassword("alice", "right"), client), "signedIn");
});

Deno.test("SignIns: a sign-in by password gives a ticket, which signs in without a hash and without a delay", async () => {
  const bench = new Bench();
  assertEquals(await bench.attempt(byPassword("alice", "right")), "signedIn");
  const ticket = bench.ticket ?? "";
  assertEquals(await bench.attempt(byPassword("alice", "wrong")), "signInFailed");
  const { hashes } = bench;
  const client = bench.client();
  assertEquals(await bench.attempt(byToken(ticket), client), "signedIn");
  const { user, via, expiresAtMs } = client.identity.user(bench.auth) ?? {};
  assertEquals([bench.hashes, bench.ticket, user?.name, via, expiresAtMs], [
    hashes,
    null,
    "alice",
    "password",
    null,
  ]);
  const forged = ticket.replace(
    /\.[^.]+$/,
    (signature) => `.${[...signature.slice(1, -1)].reverse().join("")}A`,
  );
  assertEquals(await bench.attempt(byToken(forged)), "waits");
});

Deno.test("SignIns: the stored form of a password signs no ticket", async () => {
  const bench = new Bench();
  const alice = bench.auth.user("alice");
  assert(alice !== null && alice.password !== null);
  const { hash, salt } = alice.password;
  const seed = hashOf("right", { salt });
  const attempt = (seed: Uint8Array): Promise<string> => {
    bench.clock.advance(FORGET_MS); // no failure delays it
    return bench.attempt(byToken(createTicket(alice, seed, bench.clock.now())));
  };
  assertEquals(await attempt(seed), "signedIn", "the password makes tickets");
  assertEquals(await attempt(hash), "signInFailed");
});

Deno.test("SignIns: a ticket ends after a day, and with the password or the user", async () => {
  const bench = new Bench();
  const attempt = (method: Method): Promise<string> => {
    bench.clock.advance(FORGET_MS); // no failure delays it
    return bench.attempt(method);
  };
  assertEquals(await attempt(byPassword("alice", "right")), "signedIn");
  const first = bench.ticket ?? "";
  bench.clock.advance(TICKET_LIFE_MS - FORGET_MS - 1);
  assertEquals(await attempt(byToken(first)), "signedIn");
  assertEquals(await attempt(byToken(first)), "tokenExpired");

  assertEquals(await attempt(byPassword("alice", "right")), "signedIn");
  const second = bench.ticket ?? "";
  bench.auth.change({ kind: "setPassword", user: "alice", password: passwordHash("right") });
  assertEquals(await attempt(byToken(second)), "signInFailed");

  assertEquals(await attempt(byPassword("alice", "right")), "signedIn");
  const third = bench.ticket ?? "";
  bench.auth.change({ kind: "removeUser", user: "alice" });
  bench.auth.change({ kind: "addUser", user: "alice", password: passwordHash("right") });
  assertEquals(await attempt(byToken(third)), "signInFailed");
});

Deno.test("SignIns: a sign-in by a token gives no ticket", async () => {
  const bench = new Bench();
  bench.auth.change({
    kind: "addToken",
    user: "alice",
    token: "t",
    hash: sha256Of("kvt_1"),
    expiresAtMs: null,
  });
  assertEquals([await bench.attempt(byToken("kvt_1")), bench.ticket], ["signedIn", null]);
});
