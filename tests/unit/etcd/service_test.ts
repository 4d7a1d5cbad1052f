/** EtcdService: a refusal of a node that may not be up to date is checked again, and is recorded with the client. */
import { assertEquals, assertMatch } from "@std/assert";
import { PermissionDeniedError } from "../../../lib/client/errors.ts";
import type { EtcdContext } from "../../../lib/etcd/context.ts";
import { AUTH_ENABLE_REQUEST } from "../../../lib/etcd/messages/auth.ts";
import { unary } from "../../../lib/etcd/rpc/method.ts";
import { etcdError } from "../../../lib/etcd/rpc/status.ts";
import { EtcdService } from "../../../lib/etcd/service.ts";
import type { LogFields } from "../../../lib/platform/logger.ts";
import { SystemClock } from "../../../lib/platform/system.ts";
import { RecordingLogger } from "../../support/fakes/recording_logger.ts";
import { withServer } from "../../support/web/web_server.ts";

const denied = (): Error => new PermissionDeniedError("Cannot read: no right.", { outcome: "not-applied" });

/** Sends a request whose attempts end as `attempts` says; resolves to the status, and to what happened. */
async function outcomeOf(
  attempts: readonly (Error | null)[],
  refusals = new RecordingLogger(),
): Promise<readonly [number, readonly string[]]> {
  const events: string[] = [];
  const left = [...attempts];
  // The method of this test uses no client and no node.
  const context: EtcdContext = Object.assign(Object.create(null), {
    core: Object.create(null),
    clients: {
      use: () => {
        events.push("use");
        return Promise.resolve({ core: Object.create(null), release: () => events.push("release") });
      },
      signIn: () => Promise.resolve(""),
    },
    view: () => ({ clusterId: 1n, memberId: 1n, raftTerm: 1, leader: 1n, revision: 0 }),
    isReadable: () => {
      events.push("catch up");
      return Promise.resolve(true);
    },
    clock: new SystemClock(),
    wallClock: () => 0,
    random: Math.random,
    logger: new RecordingLogger(),
    refusals: { write: (message: string, fields: LogFields) => refusals.info(message, fields) },
  });
  const names = { service: "test.Test", name: "Do", http: ["/v3/test/do"] };
  const method = unary({ ...names, request: AUTH_ENABLE_REQUEST, response: AUTH_ENABLE_REQUEST }, () => {
    const failure = left.shift() ?? null;
    return failure === null ? Promise.resolve({}) : Promise.reject(failure);
  });
  const service = new EtcdService({ context, methods: [method], answerOther: () => Promise.resolve() });
  let status = 0;
  await withServer({ handler: (request) => service.handle(request) }, async (url) => {
    using client = Deno.createHttpClient({});
    const response = await fetch(`${url}/v3/test/do`, { method: "POST", body: "{}", client });
    await response.body?.cancel();
    status = response.status;
  });
  return [status, events];
}

Deno.test("EtcdService: a call that is refused because of its user is made again once the node is up to date", async () => {
  const twice = ["use", "release", "catch up", "use", "release"];
  assertEquals(await outcomeOf([denied(), null]), [200, twice]);
  assertEquals(await outcomeOf([denied(), denied(), null]), [403, twice]);
  assertEquals(await outcomeOf([etcdError("userEmpty"), null]), [200, twice]);
});

Deno.test("EtcdService: a call with another end is made once", async () => {
  assertEquals(await outcomeOf([null]), [200, ["use", "release"]]);
  assertEquals(await outcomeOf([etcdError("keyNotFound"), null]), [400, ["use", "release"]]);
  assertEquals(await outcomeOf([etcdError("timeout"), null]), [503, ["use", "release"]]);
});

Deno.test("EtcdService: a second refusal is recorded once, with the address of the client; other ends are not", async () => {
  const refusals = new RecordingLogger();
  await outcomeOf([denied(), denied()], refusals);
  const others = [[denied(), null], [denied(), etcdError("keyNotFound")], [null], [etcdError("keyNotFound")]];
  for (const ends of others) await outcomeOf(ends, refusals);
  assertEquals(refusals.lines.map(({ message }) => message), ["audit: client of etcd refused"]);
  const { remote, ...fields } = refusals.lines[0]?.fields ?? {};
  assertMatch(String(remote), /^127\.0\.0\.1:\d+$/);
  assertEquals(fields, {
    request: "/v3/test/do",
    code: "permissionDenied",
    reason: "Cannot read: no right.",
  });
});
