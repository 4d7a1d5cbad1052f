/** Writes of users at the leader: it decides by its own state, and not by that of the node that has forwarded one. */
import { assertEquals } from "@std/assert";
import {
  type AuthChange,
  type Command,
  type Identity,
  NODE_IDENTITY,
  type PlainCommand,
  unwrapped,
} from "../../../../lib/kv/mod.ts";
import { decodeCommand, encodeCommand } from "../../../../lib/protocol/command.ts";
import { ConnectionIdentity } from "../../../../lib/server/auth/connection_identity.ts";
import { passwordHash } from "../../../support/fakes/auth.ts";
import { put, WritesBench } from "../../../support/fakes/writes_bench.ts";
import { prefix, putOf } from "../../../support/frames/user_client.ts";

/** The users of the test: alice may write the keys with the prefix a/, and root everything. */
const USERS: readonly AuthChange[] = [
  { kind: "addUser", user: "root", password: passwordHash("r") },
  { kind: "grantRole", user: "root", role: "root" },
  { kind: "addUser", user: "alice", password: passwordHash("a") },
  { kind: "addRole", role: "writers" },
  { kind: "grantRole", user: "alice", role: "writers" },
  { kind: "addGrant", role: "writers", grant: { right: "write", keys: prefix("a/") } },
];
const ENABLE: AuthChange = { kind: "setEnabled", enabled: true };

/** A leader with users. */
class Leader {
  readonly bench: WritesBench;
  #root: Identity | null = null;

  private constructor(bench: WritesBench) {
    this.bench = bench;
  }

  static async start(): Promise<Leader> {
    const leader = new Leader(await WritesBench.leading());
    await leader.bench.raiseFeatureLevel();
    for (const change of USERS) await leader.change(change);
    return leader;
  }

  /** Makes a change, as root once authentication is on. */
  async change(change: AuthChange): Promise<void> {
    const command: PlainCommand = { kind: "changeAuth", session: null, change };
    const identity = this.#root;
    const result = await this.forwarded(
      identity === null ? command : { kind: "authorized", identity, command },
    );
    assertEquals(result, "authChanged", change.kind);
    if (change.kind === "setEnabled") this.#root = change.enabled ? this.identityOf("root") : null;
  }

  /** Returns the identity that a node adds to the commands of a user, by the present state. */
  identityOf(name: string): Identity {
    const { auth } = this.bench.replica.stateMachine;
    const user = auth.user(name);
    return { userId: user?.id ?? 0, credential: user?.passwordRevision ?? 0, authRevision: auth.revision };
  }

  /** Takes a command that a follower has forwarded; returns its answer. */
  forwarded(command: Command): Promise<string> {
    return this.#answer((answer) => this.bench.submitForwarded(encodeCommand(command), answer));
  }

  /** Takes the put of a key of a client of the leader itself that has signed in. */
  async put(name: string, key: string): Promise<string> {
    const { bench } = this;
    const { userId, credential } = this.identityOf(name);
    const connection = { remote: "10.0.0.1:5000", certificate: null };
    bench.identity = new ConnectionIdentity(connection, { wallClock: () => 0 });
    bench.identity.signIn({ userId, credential, via: "password", expiresAtMs: null });
    return await this.#answer((answer) => bench.submit(encodeCommand(putOf(key)), answer));
  }

  /** The last command of the log. */
  get lastCommand(): Command | null {
    const entry = this.bench.log.entries.findLast(({ kind }) => kind === "command");
    return entry === undefined ? null : decodeCommand(entry.data);
  }

  async #answer(submit: (answer: Parameters<WritesBench["submit"]>[1]) => void): Promise<string> {
    const { bench } = this;
    bench.answers.length = 0;
    let code: string | null = null;
    submit((answer) => {
      if (answer.kind === "error") code = `${answer.code}, ${answer.outcome}`;
      else bench.answerTo("")(answer);
    });
    await this.#apply();
    return code ?? bench.answers.splice(0).join().replace(/^: /, "");
  }

  async #apply(): Promise<void> {
    await this.bench.log.endSync();
    await this.bench.drain();
  }
}

Deno.test("Writes: a follower that lags does not lend the rights of its old state", async () => {
  const leader = await Leader.start();
  await leader.change(ENABLE);
  const identity = leader.identityOf("alice");
  const put: Command = { kind: "authorized", identity, command: putOf("a/key") };
  assertEquals(await leader.forwarded(put), "applied");
  const { commands } = leader.bench;
  await leader.change({ kind: "revokeRole", user: "alice", role: "writers" });
  assertEquals(await leader.forwarded(put), "permissionDenied, not-applied");
  await leader.change({ kind: "setPassword", user: "alice", password: passwordHash("b") });
  assertEquals(await leader.forwarded(put), "unauthenticated, not-applied");
  await leader.change({ kind: "removeUser", user: "alice" });
  assertEquals(await leader.forwarded(put), "unauthenticated, not-applied");
  assertEquals(leader.bench.commands, commands + 3, "only the changes of root are in the log");
});

Deno.test("Writes: a node that is no member forwards nothing, and a retry of a write in progress is of unknown outcome", async () => {
  const { bench } = await Leader.start();
  const { commands } = bench;
  const answers: string[] = [];
  const send = (bytes: Uint8Array, from: number): void =>
    bench.submitForwarded(bytes, (answer) => {
      answers.push(answer.kind === "error" ? `${answer.code}, ${answer.outcome}` : "applied");
    }, from);
  send(encodeCommand(putOf("a/key")), 99);
  send(encodeCommand({ kind: "changeAuth", session: null, change: ENABLE }), 99);
  assertEquals(answers.splice(0), Array(2).fill("notLeader, not-applied"));
  assertEquals([bench.commands, bench.logger.messages.length], [commands, 2]);
  // Its sender was a member at the first attempt, and is removed meanwhile.
  send(put(1), 2);
  send(put(1), 99);
  assertEquals(answers.splice(0), ["notLeader, unknown"]);
  await bench.log.endSync();
  await bench.drain();
  assertEquals([answers.length, bench.commands], [1, commands + 1]);
});

Deno.test("Writes: a follower that has authentication off forwards nothing without a user", async () => {
  const leader = await Leader.start();
  assertEquals(await leader.forwarded(putOf("a/key")), "applied");
  await leader.change(ENABLE);
  const commands: readonly PlainCommand[] = [
    putOf("a/key"),
    { kind: "compact", revision: 1 },
    { kind: "keepLeasesAlive", leaseIds: [1] },
    { kind: "registerSession", sessionId: 5, openedAt: 0 },
    { kind: "changeAuth", session: null, change: { kind: "setEnabled", enabled: false } },
  ];
  for (const command of commands) {
    assertEquals(await leader.forwarded(command), "unauthenticated, not-applied", command.kind);
  }
});

Deno.test("Writes: no node forwards a command with the identity of the leader", async () => {
  const leader = await Leader.start();
  const command = { kind: "compact", revision: 1 } as const;
  for (const isEnabled of [false, true]) {
    if (isEnabled) await leader.change(ENABLE);
    const refusal = await leader.forwarded({ kind: "authorized", identity: NODE_IDENTITY, command });
    assertEquals(refusal, "invalidRequest, not-applied");
  }
});

Deno.test("Writes: a follower that claims a later auth revision than the leader has is refused", async () => {
  const leader = await Leader.start();
  await leader.change(ENABLE);
  const identity = leader.identityOf("alice");
  const claimed = { ...identity, authRevision: identity.authRevision + 1 };
  const command = putOf("b/key");
  assertEquals(
    await leader.forwarded({ kind: "authorized", identity: claimed, command }),
    "noLeader, not-applied",
  );
  assertEquals(
    await leader.forwarded({ kind: "authorized", identity, command }),
    "permissionDenied, not-applied",
  );
});

Deno.test("Writes: the log has the identity of the user with each command, also before authentication is on", async () => {
  const leader = await Leader.start();
  assertEquals(await leader.put("alice", "b/before"), "applied", "it is off");
  assertEquals(leader.lastCommand?.kind, "authorized");
  await leader.change(ENABLE);
  assertEquals(await leader.put("alice", "b/key"), "permissionDenied, not-applied");
  assertEquals(await leader.put("alice", "a/key"), "applied");
  const { lastCommand } = leader;
  assertEquals(lastCommand?.kind === "authorized" && lastCommand.identity, leader.identityOf("alice"));
  assertEquals(lastCommand !== null && unwrapped(lastCommand), putOf("a/key"));
  assertEquals(await leader.put("unknown", "a/key"), "unauthenticated, not-applied");
});

Deno.test("Writes: a right that is taken away in the entry before a write refuses the write when it is applied", async () => {
  const leader = await Leader.start();
  await leader.change(ENABLE);
  const { bench } = leader;
  const identity = leader.identityOf("alice");
  const revoke: PlainCommand = {
    kind: "changeAuth",
    session: null,
    change: { kind: "revokeRole", user: "alice", role: "writers" },
  };
  // Both are in the log before one of them is applied, so that the leader checks the write by the state before.
  bench.submitForwarded(
    encodeCommand({ kind: "authorized", identity: leader.identityOf("root"), command: revoke }),
    bench.answerTo("revoke"),
  );
  bench.submitForwarded(
    encodeCommand({ kind: "authorized", identity, command: putOf("a/late") }),
    bench.answerTo("put"),
  );
  await bench.log.endSync();
  await bench.drain();
  assertEquals(bench.answers, ["revoke: authChanged", "put: refused"]);
  assertEquals(bench.replica.stateMachine.get(new TextEncoder().encode("a/late")), null);
});

Deno.test("Writes: a refused retry is not called not applied while another attempt is in progress", async () => {
  const leader = await Leader.start();
  await leader.change(ENABLE);
  const { bench } = leader;
  const command = unwrapped(decodeCommand(put(1)));
  const forward = (user: string, name: string): void =>
    bench.submitForwarded(
      encodeCommand({ kind: "authorized", identity: leader.identityOf(user), command }),
      bench.answerTo(name),
    );
  forward("root", "first");
  forward("alice", "denied");
  assertEquals(bench.answers, ["denied: unknown"]);
  await bench.log.endSync();
  await bench.drain();
  assertEquals(bench.answers, ["denied: unknown", "first: applied"]);
});
