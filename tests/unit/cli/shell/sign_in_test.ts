/** Signing in within the shell, and what it does with passwords. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { AuthenticationError } from "../../../../lib/client/errors.ts";
import { FakeStore } from "../support/fake_store.ts";
import { ShellSession } from "../support/shell_session.ts";

const CTRL_C = "\x03";
const CTRL_U = "\x15";
const UP = "\x1b[A";

/** A store whose status is refused. */
class RefusingStore extends FakeStore {
  constructor(readonly reason: AuthenticationError["reason"]) {
    super();
  }

  override status(): Promise<never> {
    const { reason } = this;
    return Promise.reject(new AuthenticationError("Cannot get the status: sign in.", { reason, user: null }));
  }
}

Deno.test("shell: a client without a user on a cluster that asks for one opens, and can sign in", async () => {
  const session = new ShellSession(new RefusingStore("unauthenticated"), new FakeStore());
  await session.shows("Connected. The cluster asks for a user: type auth sign-in <name>.\n");
  await session.type("auth sign-in ann\r");
  await session.shows("Password of ann: ");
  await session.type("hunter2\r");
  await session.shows("ok  signed in as ann");
  await session.leave();
  assertEquals(session.signIns, ["ann:hunter2"]);
});

Deno.test("shell: a token that was refused ends it, as any other failure of the first status", async () => {
  await assertRejects(() => new ShellSession(new RefusingStore("tokenExpired")).ended, AuthenticationError);
});

Deno.test("shell: a password is asked for twice, not shown, and not among the lines of the up key", async () => {
  const session = new ShellSession();
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

Deno.test("shell: after auth sign-in the commands and the prompt are those of the client that has signed in", async () => {
  const signedIn = new FakeStore();
  const session = new ShellSession(new FakeStore(), signedIn);
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
  const session = new ShellSession(new FakeStore(), wrong);
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
  const session = new ShellSession();
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
  const session = new ShellSession();
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
  const session = new ShellSession();
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
  const session = new ShellSession();
  await session.store.auth.addUser("ada");
  await session.shows("n2 (leader)> ");
  await session.type("user grant a\t");
  await session.shows("user grant ada ");
  await session.type("ro\t");
  await session.shows("user grant ada root ");
  await session.type(CTRL_U);
  await session.leave();
});
