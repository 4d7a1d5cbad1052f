/** The shell on streams in memory: typed input, and the screen. */
import { assert, assertEquals } from "@std/assert";
import { HistoryFile } from "../../../../lib/cli/shell/history_file.ts";
import { greetingFor, promptFor, runShell } from "../../../../lib/cli/shell/shell.ts";
import type { StoreClient } from "../../../../lib/cli/command.ts";
import { AbortError, AuthenticationError, NoLeaderError } from "../../../../lib/client/errors.ts";
import type { ConnectionState } from "../../../../lib/client/types.ts";
import { eventually, within } from "../../../support/eventually.ts";
import { settle } from "../../../support/fakes/manual_clock.ts";
import { FakeStore, STATUS } from "../support/fake_store.ts";
import { FakeEnvironment } from "../support/fake_environment.ts";

const CTRL_C = "\x03";
const CTRL_D = "\x04";
const CTRL_U = "\x15";
const UP = "\x1b[A";
/** Options of the first request of `export`. */
const EXPORTED = { consistency: "linearizable", prefix: new Uint8Array(), limit: 1_000, cursor: null };

/** A shell that runs, its typist and its screen. */
class Session {
  readonly environment = new FakeEnvironment({ input: null, terminal: true });
  readonly ended: Promise<void>;
  /** The users who have signed in, with the passwords they have typed, and the answers to them. */
  readonly signIns: string[] = [];
  readonly #afterSignIn: StoreClient | Error;
  #sent = "";

  constructor(readonly store: FakeStore = new FakeStore(), afterSignIn: StoreClient | Error = store) {
    this.#afterSignIn = afterSignIn;
    this.environment.terminal.output.on(
      "data",
      (chunk: Uint8Array) => void (this.#sent += new TextDecoder().decode(chunk)),
    );
    this.ended = runShell({
      environment: this.environment,
      client: store,
      connect: () => Promise.resolve(store),
      signIn: ({ user, password }) => {
        this.signIns.push(`${user}:${password}`);
        const after = this.#afterSignIn;
        return after instanceof Error ? Promise.reject(after) : Promise.resolve(after);
      },
      history: HistoryFile.open("/history", this.environment),
      output: "text",
      timeoutMs: null,
      commandLine: () => "kvraft client --cluster 127.0.0.1:7001",
      origin: "--cluster",
    });
  }

  /** Everything that was sent to the screen, without control sequences. */
  get screen(): string {
    // deno-lint-ignore no-control-regex -- control sequences are what is taken out
    return this.#sent.replace(/\x1b\[[0-9;]*[A-Za-z]/g, "").replaceAll("\r\n", "\n");
  }

  /** Returns the part of the screen after `mark`, an earlier length of `screen`. */
  since(mark: number): string {
    return this.screen.slice(mark);
  }

  async type(keys: string): Promise<void> {
    this.environment.terminal.input.write(keys);
    await settle();
  }

  async shows(text: string): Promise<void> {
    await eventually(`the screen shows ${text}`, () => this.screen.includes(text) ? true : null, {
      explain: () => JSON.stringify(this.screen),
    });
  }

  async leave(): Promise<void> {
    await this.type(CTRL_D);
    await within("the shell ends", this.ended, { explain: () => JSON.stringify(this.screen) });
  }
}

Deno.test("shell: the greeting counts the nodes, and the prompt names node and leader", async () => {
  const session = new Session();
  await session.shows("Connected: 2 of 3 nodes, leader n2\n");
  await session.shows("n2 (leader)> ");
  await session.leave();
  assertEquals([session.store.listenerCount, session.environment.clock.timerCount], [0, 0]);
});

Deno.test("promptFor: it names the node of the next request and the leader, or says that there is none", () => {
  const [one] = STATUS.nodes;
  assert(one !== undefined);
  assertEquals(greetingFor({ leader: null, term: 0, nodes: [one] }), "Connected: 0 of 1 node, no leader");
  assertEquals(promptFor({ kind: "connected", node: 1, leader: 1 }), "n1 (leader)> ");
  assertEquals(promptFor({ kind: "connected", node: 2, leader: 1 }), "n2 (leader n1)> ");
  assertEquals(promptFor({ kind: "connected", node: 1, leader: null }), "n1 (no leader)> ");
  assertEquals(promptFor({ kind: "reconnecting", reason: "lost" }), "(not connected)> ");
});

Deno.test("shell: lines run one after the other, also when they arrive together", async () => {
  const session = new Session();
  await session.shows("n2 (leader)> ");
  await session.type("put k 'two words'\rget k\rget nope\r");
  await session.shows("(not found)");
  assert(session.screen.includes("ok  revision 1  0.0 ms\n"), session.screen);
  assert(session.screen.includes("two words\nrevision 1, version 1, 0.0 ms\n"), session.screen);
  await session.leave();
});

Deno.test("shell: a mistyped command is answered with the nearest one, an open quote with its column", async () => {
  const session = new Session();
  await session.shows("n2 (leader)> ");
  await session.type("gte k\r");
  await session.shows('error: There is no command "gte". Did you mean get?\n');
  await session.type("put k 'x\r");
  await session.shows("error: The quote ' at column 7 is not closed.\n");
  await session.type("get k --output json\r");
  await session.shows("null\n");
  await session.type("get k --output json --raw --raw\r");
  await session.leave();
});

Deno.test("shell: the up key shows the last line", async () => {
  const session = new Session();
  await session.shows("n2 (leader)> ");
  await session.type("put k v\r");
  await session.shows("ok  revision 1 ");
  await session.type(`${UP}\r`);
  await session.shows("ok  revision 2 ");
  await session.leave();
});

Deno.test("shell: Tab completes commands, and keys of the store", async () => {
  const session = new Session();
  await session.store.put("greeting", "hello");
  await session.shows("n2 (leader)> ");
  await session.type("ge\t");
  await session.shows("n2 (leader)> get ");
  await session.type("gr\t");
  await session.shows("greeting ");
  await session.type("\r");
  await session.shows("hello\nrevision 1, version 1");
  await session.leave();
});

Deno.test("shell: Tab offers a key just written, and without a leader what a node has", async () => {
  const session = new Session();
  await session.shows("n2 (leader)> ");
  const asked = async (state: ConnectionState): Promise<unknown> => {
    session.store.become(state);
    const before = session.store.calls.length;
    await session.type(`${CTRL_U}get g\t`);
    return await eventually("Tab asks for keys", () => session.store.calls.slice(before).at(-1) ?? null);
  };
  const list = { name: "list", prefix: new Uint8Array([0x67]), limit: 100, timeoutMs: 1_000 };
  const leaderless = { ...list, consistency: "stale" };
  assertEquals(await asked({ kind: "connected", node: 2, leader: 2 }), {
    ...list,
    consistency: "linearizable",
  });
  assertEquals(await asked({ kind: "connected", node: 2, leader: null }), leaderless);
  assertEquals(await asked({ kind: "reconnecting", reason: "lost" }), leaderless);
  await session.type(CTRL_U);
  await session.leave();
});

Deno.test("shell: the prompt follows the leader while a line is typed, and keeps the line", async () => {
  const session = new Session();
  await session.shows("n2 (leader)> ");
  await session.type("put k v");
  session.store.become({ kind: "reconnecting", reason: "lost" });
  await session.shows("(not connected)> put k v");
  session.store.become({ kind: "connected", node: 1, leader: null });
  await session.shows("n1 (no leader)> put k v");
  session.store.become({ kind: "connected", node: 1, leader: 3 });
  await session.shows("n1 (leader n3)> put k v");
  await session.type("\r");
  await session.shows("ok  revision 1");
  assertEquals(session.store.entries.size, 1);
  await session.leave();
});

Deno.test("shell: Ctrl-R finds a line of the session, and Enter runs it", async () => {
  const session = new Session();
  await session.shows("n2 (leader)> ");
  await session.type("put a 1\rget a\r");
  await session.shows("version 1");
  await session.type("half\x12pu");
  await session.shows("(reverse-i-search)'pu': put a 1");
  session.store.become({ kind: "connected", node: 3, leader: 3 });
  const mark = session.screen.length;
  await session.type("\r");
  await session.shows("revision 2  ");
  assert(session.since(mark).includes("n3 (leader)> put a 1"), session.since(mark));
  await session.type("half\x12get\x1b[D2\r");
  await eventually("the edited line is run", () => session.store.calls.length === 4 ? true : null);
  await session.type("typed\x12put");
  const before = session.screen.length;
  await session.type("\x1b");
  assert(session.since(before).includes("n3 (leader)> typed"), session.since(before));
  await session.type(CTRL_U);
  await session.leave();
});

Deno.test("shell: Ctrl-C clears the line", async () => {
  const session = new Session();
  await session.shows("n2 (leader)> ");
  await session.type("delete k");
  await session.type(CTRL_C);
  await session.type("put k v\r");
  await session.shows("ok  revision 1");
  assertEquals(session.store.calls, [{ name: "put" }]);
  await session.type(CTRL_C);
  await session.shows("Ctrl-D or quit leaves.");
  await session.leave();
});

Deno.test("shell: Ctrl-C ends a command that waits, and reports its outcome", async () => {
  const session = new Session();
  session.store.before = ({ signal }) =>
    new Promise((_, reject) => {
      signal?.addEventListener("abort", () => reject(new AbortError("ended", { outcome: "unknown" })));
    });
  session.store.clusterStatus = { ...STATUS, leader: null };
  await session.shows("n2 (leader)> ");
  await session.type("put k v\r");
  session.environment.clock.advance(500);
  await session.shows("no leader yet: n1 unreachable, n2 and n3 electing; Ctrl-C cancels");
  await session.type("get never-run\r");
  await session.type(CTRL_C);
  await session.shows(
    "error: cancelled; it may have been applied, or may yet be: read before you write again.\n",
  );
  assertEquals(session.store.calls, [{ name: "put" }]);
  assertEquals(session.environment.clock.timerCount, 0);
  await session.leave();
});

Deno.test("shell: input during a command is shown with the next prompt", async () => {
  const session = new Session();
  const gate = Promise.withResolvers<void>();
  session.store.before = () => gate.promise;
  await session.shows("n2 (leader)> ");
  await session.type("put a 1\r");
  const mark = session.screen.length;
  await session.type("get a\rhalf");
  assertEquals(session.since(mark), "");
  gate.resolve();
  await session.shows("n2 (leader)> half");
  assert(session.since(mark).includes("n2 (leader)> get a\n1\nrevision 1, version 1"), session.screen);
  await session.type(CTRL_C);
  await session.leave();
});

Deno.test("shell: it continues after an error", async () => {
  const session = new Session();
  session.store.before = () => Promise.reject(new NoLeaderError("Cannot get a key: no leader."));
  await session.shows("n2 (leader)> ");
  await session.type("get k\r");
  await session.shows("error: Cannot get a key: no leader.\n");
  await session.type("put k -\r");
  await session.shows("error: The shell reads standard input, so it cannot be the data.");
  await session.leave();
});

Deno.test("shell: quit leaves it, and drops the lines after it", async () => {
  const session = new Session();
  await session.shows("n2 (leader)> ");
  await session.type("quit\rput k v\r");
  await within("the shell ends", session.ended);
  assertEquals(session.store.calls, []);
});

Deno.test("shell: export writes to the screen; commands that need a file say how to run them", async () => {
  const session = new Session();
  await session.store.put("k", "v\x1b[2J");
  await session.shows("n2 (leader)> ");
  await session.type("export\r");
  await session.shows(
    '{"key":"k","value":"v\\u001b[2J"}\nexported 1 key, 33 B, in 0.0 ms, all at revision 1\nn2 (leader)> ',
  );
  await session.type("snapshot save\r");
  await session.shows("Example: snapshot save backup.snap\n");
  await session.type("import\r");
  await session.shows("error: The shell reads standard input, so it cannot be the data.");
  await session.leave();
  assertEquals(session.store.calls, [{ name: "put" }, { name: "list", ...EXPORTED }]);
});

Deno.test("shell: Ctrl-C ends the wait for a new member, and the answer says that the change continues", async () => {
  const session = new Session();
  await session.shows("n2 (leader)> ");
  session.store.memberList = [...await session.store.members(), { id: 4, address: "h:1", role: "learner" }];
  await session.type("member add 4 h:1\r");
  await session.shows("the change is under way; Ctrl-C stops waiting, not the change");
  await session.type(CTRL_C);
  await session.shows("Not waiting any longer; the change continues. members shows its progress.");
  assertEquals(session.environment.clock.timerCount, 0);
  await session.leave();
});

Deno.test("shell: Ctrl-C ends a watch and not the shell, and input meanwhile is shown with the next prompt", async () => {
  const session = new Session();
  await session.shows("n2 (leader)> ");
  await session.type("watch app/ --prefix\r");
  const [watch] = session.store.watches;
  assert(watch !== undefined, session.screen);
  watch.give({ kind: "progress", revision: 6 });
  await session.shows("watching the keys that begin with app/ from revision 7 on; Ctrl-C ends it");
  const mark = session.screen.length;
  await session.type("get hal");
  const entry = { key: new TextEncoder().encode("app/a"), value: new Uint8Array([0x1b]) };
  const numbers = { createRevision: 7, modRevision: 7, version: 1 };
  watch.give({ kind: "events", revision: 7, events: [{ kind: "put", entry: { ...entry, ...numbers } }] });
  watch.request.onInterruption?.("the connection to node 1 was lost.");
  await session.shows("7  put     app/a  \\x1b\n");
  assert(session.since(mark).includes("-- the watch was interrupted: the connection to node 1 was lost\n"));
  await session.type(CTRL_C);
  await session.shows("-- 1 change up to revision 7; to go on: watch app/ --prefix --from 8\n");
  await session.shows("n2 (leader)> get hal");
  assert(watch.isEnded);
  await session.type(CTRL_U);
  await session.leave();
});

Deno.test("shell: with --output json a watch is lines of JSON", async () => {
  const session = new Session();
  await session.shows("n2 (leader)> ");
  await session.type("watch k --output json --only deletes\r");
  const [watch] = session.store.watches;
  const key = new TextEncoder().encode("k");
  watch?.give({ kind: "events", revision: 7, events: [{ kind: "delete", key, modRevision: 7 }] });
  await session.shows('{"kind":"delete","revision":7,"key":"k"}\n');
  await session.type(CTRL_C);
  await session.shows('{"events":1,"revision":7}\n');
  await session.leave();
});

Deno.test("shell: a lock that is held when Ctrl-D leaves the shell is released first", async () => {
  const session = new Session();
  await session.shows("n2 (leader)> ");
  await session.type("lock nightly\r");
  await session.shows("waiting for the lock nightly …; Ctrl-C gives up");
  const [contender] = session.store.contenders;
  contender?.grant();
  await session.shows("ok  locked, fencing token 21, key nightly/00000000001267\n");
  const released = Promise.withResolvers<void>();
  if (contender !== undefined) contender.onRelease = () => released.promise;
  let isLeft = false;
  const left = session.ended.then(() => isLeft = true);
  await session.type(CTRL_D);
  assertEquals(isLeft, false);
  released.resolve();
  await within("the shell ends", left);
  assertEquals(contender?.releases, 1);
  assert(session.screen.includes("the lock nightly: released (the shell was left)\n"), session.screen);
  assertEquals(session.environment.clock.timerCount, 0);
});

Deno.test("shell: Ctrl-C gives a lock up that another client holds", async () => {
  const session = new Session();
  await session.shows("n2 (leader)> ");
  await session.type("lock nightly\r");
  await session.shows("waiting for the lock nightly");
  await session.type(CTRL_C);
  await session.shows("the lock nightly: not locked (interrupted)\n");
  await session.shows("n2 (leader)> ");
  await session.leave();
});

Deno.test("shell: a password is asked for twice, not shown, and not among the lines of the up key", async () => {
  const session = new Session();
  await session.shows("n2 (leader)> ");
  await session.type("user add eve\r");
  await session.shows("New password of eve: ");
  await session.type("n3w\x7fwx");
  await session.type("\x7f\r");
  await session.shows("The same again: ");
  await session.type("n3w\r");
  await session.shows("ok  user eve added");
  assertEquals(session.store.auth.passwords.get("eve"), "n3w");
  const mark = session.screen.length;
  await session.type(`${UP}${UP}${UP}`);
  assert(session.since(mark).includes("user add eve"), session.screen);
  await session.type(CTRL_U);
  assert(!session.screen.includes("n3w"), session.screen);
  await session.leave();
});

Deno.test("shell: the history file gets the commands that were typed, and no password", async () => {
  const session = new Session();
  await session.type("put a 1\rauth sign-in ada s3cret\rlogin ada s3cret\rget a\r");
  await session.leave();
  assertEquals(session.environment.written.get("/history"), "put a 1\nget a\n");
});

Deno.test("shell: after auth sign-in the commands and the prompt are those of the client that has signed in", async () => {
  const signedIn = new FakeStore();
  const session = new Session(new FakeStore(), signedIn);
  await session.shows("n2 (leader)> ");
  await session.type("auth sign-in ada\r");
  await session.shows("Password of ada: ");
  await session.type("s3cret\r");
  await session.shows("ok  signed in as ada");
  assertEquals(session.signIns, ["ada:s3cret"]);
  await session.type("put a b\r");
  await session.shows("ok  revision");
  assertEquals([session.store.listenerCount, signedIn.listenerCount], [0, 1]);
  assertEquals(signedIn.calls, [{ name: "put" }]);
  assertEquals(session.store.calls, []);
  await session.leave();
  assert(!session.screen.includes("s3cret"));
  assertEquals(signedIn.listenerCount, 0);
});

Deno.test("shell: where auth sign-in fails the client stays as it was, and says so", async () => {
  const wrong = new AuthenticationError("Cannot connect: wrong user or password.", {
    reason: "signInFailed",
    user: "ada",
  });
  const session = new Session(new FakeStore(), wrong);
  await session.shows("n2 (leader)> ");
  await session.type("auth sign-in ada\r");
  await session.shows("Password of ada: ");
  await session.type("wrong\r");
  await session.shows("error: Cannot connect: wrong user or password.");
  await session.type("put a b\r");
  await session.shows("ok  revision");
  assertEquals(session.store.listenerCount, 1);
  await session.leave();
});

Deno.test("shell: a client that has to sign in reads which line does so", async () => {
  const session = new Session();
  await session.shows("n2 (leader)> ");
  session.store.before = () =>
    Promise.reject(
      new AuthenticationError("Cannot put a key: this client has no credentials.", {
        reason: "unauthenticated",
        user: null,
      }),
    );
  await session.type("put a b\r");
  await session.shows("Sign in: type auth sign-in <name>.");
  await session.leave();
});

Deno.test("shell: Ctrl-C at the prompt for a password cancels the command, and the shell goes on", async () => {
  const session = new Session();
  await session.shows("n2 (leader)> ");
  await session.type("user passwd eve\r");
  await session.shows("New password of eve: ");
  await session.type(`half${CTRL_C}`);
  await session.shows("error: cancelled; nothing was changed.\n");
  assertEquals(session.store.auth.passwords.size, 0);
  await session.type("put k v\r");
  await session.shows("ok  revision 1");
  await session.leave();
});

Deno.test("shell: a line with a password among its arguments is refused and forgotten", async () => {
  const session = new Session();
  await session.shows("n2 (leader)> ");
  await session.type("get before\r");
  await session.shows("(not found)");
  for (
    const line of [
      "user add eve s3cret",
      "auth sign-in eve s3cret",
      "user passwd eve --password s3cret",
      "get k --token=s3cret",
    ]
  ) {
    const mark = session.screen.length;
    await session.type(`${line}\r`);
    await session.shows("Passwords and tokens are no arguments");
    assertEquals(
      session.since(mark).split("s3cret").length,
      2,
      "it is shown as it was typed, and not in the answer",
    );
  }
  const mark = session.screen.length;
  await session.type(UP);
  assert(session.since(mark).includes("get before"), session.since(mark));
  assert(!session.since(mark).includes("s3cret"), session.since(mark));
  await session.type(CTRL_U);
  await session.leave();
});

Deno.test("shell: Tab offers users and roles that the client may read", async () => {
  const session = new Session();
  await session.store.auth.addUser("ada");
  await session.shows("n2 (leader)> ");
  await session.type("user grant a\t");
  await session.shows("user grant ada ");
  await session.type("ro\t");
  await session.shows("user grant ada root ");
  await session.type(CTRL_U);
  await session.leave();
});
