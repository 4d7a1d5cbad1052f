/** The shell on streams in memory: typed input, and the screen. */
import { assert, assertEquals } from "@std/assert";
import { greetingFor, promptFor } from "../../../../lib/cli/shell/shell.ts";
import { AbortError, NoLeaderError } from "../../../../lib/client/errors.ts";
import type { ConnectionState } from "../../../../lib/client/types.ts";
import { eventually, within } from "../../../support/eventually.ts";
import { STATUS } from "../support/fake_store.ts";
import { ShellSession } from "../support/shell_session.ts";

const CTRL_C = "\x03";
const CTRL_D = "\x04";
const CTRL_U = "\x15";
const UP = "\x1b[A";
/** Options of the first request of `export`. */
const EXPORTED = { consistency: "linearizable", prefix: new Uint8Array(), limit: 1_000, cursor: null };

Deno.test("shell: the greeting counts the nodes, and the prompt names node and leader", async () => {
  const session = new ShellSession();
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
  const session = new ShellSession();
  await session.shows("n2 (leader)> ");
  await session.type("put k 'two words'\rget k\rget nope\r");
  await session.shows("(not found)");
  assert(session.screen.includes("ok  revision 1  0.0 ms\n"), session.screen);
  assert(session.screen.includes("two words\nrevision 1, version 1, 0.0 ms\n"), session.screen);
  await session.leave();
});

Deno.test("shell: a mistyped command is answered with the nearest one, an open quote with its column", async () => {
  const session = new ShellSession();
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
  const session = new ShellSession();
  await session.shows("n2 (leader)> ");
  await session.type("put k v\r");
  await session.shows("ok  revision 1 ");
  await session.type(`${UP}\r`);
  await session.shows("ok  revision 2 ");
  await session.leave();
});

Deno.test("shell: Tab completes commands, and keys of the store", async () => {
  const session = new ShellSession();
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
  const session = new ShellSession();
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
  const session = new ShellSession();
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
  const session = new ShellSession();
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
  const session = new ShellSession();
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
  const session = new ShellSession();
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
  const session = new ShellSession();
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
  const session = new ShellSession();
  session.store.before = () => Promise.reject(new NoLeaderError("Cannot get a key: no leader."));
  await session.shows("n2 (leader)> ");
  await session.type("get k\r");
  await session.shows("error: Cannot get a key: no leader.\n");
  await session.type("put k -\r");
  await session.shows("error: The shell reads standard input, so it cannot be the data.");
  await session.leave();
});

Deno.test("shell: quit leaves it, and drops the lines after it", async () => {
  const session = new ShellSession();
  await session.shows("n2 (leader)> ");
  await session.type("quit\rput k v\r");
  await within("the shell ends", session.ended);
  assertEquals(session.store.calls, []);
});

Deno.test("shell: export writes to the screen; commands that need a file say how to run them", async () => {
  const session = new ShellSession();
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
  const session = new ShellSession();
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
  const session = new ShellSession();
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
  const session = new ShellSession();
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
  const session = new ShellSession();
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
  const session = new ShellSession();
  await session.shows("n2 (leader)> ");
  await session.type("lock nightly\r");
  await session.shows("waiting for the lock nightly");
  await session.type(CTRL_C);
  await session.shows("the lock nightly: not locked (interrupted)\n");
  await session.shows("n2 (leader)> ");
  await session.leave();
});

Deno.test("shell: the history file gets the commands that were typed, and no password", async () => {
  const session = new ShellSession();
  await session.type("put a 1\rauth sign-in ada s3cret\rlogin ada s3cret\rget a\r");
  await session.leave();
  assertEquals(session.environment.written.get("/history"), "put a 1\nget a\n");
});
