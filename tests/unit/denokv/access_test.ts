/** Access to databases: by access tokens in the metadata exchange, and by data tokens afterwards. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { InvalidRequestError } from "../../../lib/client/errors.ts";
import { MAX_AGE_MS, MAX_DECISION_AGE_MS, REFRESH_INTERVAL_MS } from "../../../lib/denokv/directory.ts";
import { METADATA_LIFETIME_MS } from "../../../lib/denokv/metadata.ts";
import { sha256Of } from "../../../lib/platform/secrets.ts";
import { settle } from "../../support/fakes/manual_clock.ts";
import { DEFAULT, FakeRequest, noLeader, ORDERS, type Scene, textOf, withService } from "./service_scene.ts";

/** Reads by a data token; returns the status and the text. */
async function read(scene: Scene, path: string, token: string): Promise<readonly [number, string] | null> {
  const request = await scene.sendPatiently(path, { headers: { authorization: `Bearer ${token}` } });
  return textOf(request);
}

const READ = [200, "4 bytes"] as const;

function ofOlderNodes(): InvalidRequestError {
  return new InvalidRequestError("Cannot read: every node must run kvraft 0.2 or later.");
}

Deno.test("access: metadata needs no leader if the node knows the database and the token", () =>
  withService(async (scene) => {
    scene.store.hasLeader = false;
    const { status, body } = await scene.exchange("/orders", "second");
    assertEquals(status, 200);
    const { databaseId, endpoints, version } = JSON.parse(body);
    const kv = [{ url: "./orders/kv", consistency: "strong" }];
    assertEquals([databaseId, endpoints, version], [ORDERS.uuid, kv, 3]);
  }));

Deno.test("access: a node that has just started signs no token of a database without access tokens by an old key", () =>
  withService(async (scene) => {
    const { store } = scene;
    const recreated = { ...DEFAULT, id: 9, signingKey: new Uint8Array(32).fill(9) };
    store.now = { ...store.now, revision: 2, databases: [recreated] };
    store.hasLeader = false;
    assertEquals((await scene.exchange("/", "")).status, 503);
    store.hasLeader = true;
    const token = await scene.dataToken();
    assertEquals(await read(scene, "/kv/snapshot_read", token), READ);
    store.hasLeader = false;
    assertEquals((await scene.exchange("/", "")).status, 200, "from then on it needs no leader");
  }));

Deno.test("access: a flood of invalid tokens costs few reads of the databases, and a new token waits for the next one", () =>
  withService(async (scene) => {
    const { store, clock } = scene;
    const headers = { authorization: "Bearer wrong" };
    const body = new TextEncoder().encode('{"supportedVersions":[3]}');
    const requests: FakeRequest[] = [];
    for (let passedMs = 0; passedMs < 4 * REFRESH_INTERVAL_MS - 10; passedMs += 10) {
      requests.push(
        await scene.send("/orders", { headers, body }),
        await scene.send("/kv/watch", { headers }),
      );
      clock.advance(10);
      await settle();
    }
    assertEquals(store.refreshes, 4);
    const unknown = await scene.send("/new", { headers, body });
    store.change({
      databases: [DEFAULT, ORDERS, {
        ...ORDERS,
        id: 8,
        name: "new",
        tokens: [{ id: 1, hash: sha256Of("wrong") }],
      }],
    });
    clock.advance(REFRESH_INTERVAL_MS);
    await settle();
    assertEquals([unknown.answer?.status, store.refreshes], [200, 5]);
    assertEquals(requests.map(({ answer }) => answer?.status), requests.map(() => 401));
  }));

Deno.test("access: a database or token that the node does not know is looked up before the client is refused", () =>
  withService(async (scene) => {
    const { store } = scene;
    store.known = { ...store.known, databases: [DEFAULT] };
    scene.clock.advance(MAX_AGE_MS + 1);
    await scene.exchange("/", ""); // reads the state of the node again
    assertEquals((await scene.exchange("/orders", "first")).status, 200);
    assertEquals((await scene.exchange("/nothing", "first")).status, 404);
    assertEquals(await scene.exchange("/orders", "third"), { status: 401, body: "Invalid access token." });
    store.hasLeader = false;
    for (const [path, token] of [["/orders", "third"], ["/nothing", "first"]] as const) {
      const { status, body } = await scene.exchange(path, token);
      assertEquals([status, body], [503, "node 1 answered: this node knows of no leader."]);
    }
  }));

Deno.test("access: while older nodes are replaced it is answered 503, which clients repeat", () =>
  withService(async (scene) => {
    scene.store.databases = () => Promise.reject(ofOlderNodes());
    const { status, body } = await scene.exchange("/nothing", "x");
    assertEquals([status, body], [503, "every node must run kvraft 0.2 or later."]);
  }));

Deno.test("access: a database without tokens is open while authentication is disabled, and then says what to do", () =>
  withService(async (scene) => {
    const token = await scene.dataToken();
    assertEquals(await read(scene, "/kv/snapshot_read", token), READ);
    scene.store.change({ authenticationEnabled: true });
    await settle();
    const { status, body } = await scene.exchange("/", "x");
    assertEquals(status, 401);
    assertStringIncludes(body, "kvraft client denokv token default");
    assertEquals((await read(scene, "/kv/snapshot_read", token))?.[0], 401);
  }));

Deno.test("access: authentication that was enabled ends open access also where nothing has read the databases since", () =>
  withService(async (scene) => {
    const { store, clock } = scene;
    const token = await scene.dataToken();
    assertEquals(await read(scene, "/kv/snapshot_read", token), READ);
    // No change of a database: nothing is notified.
    store.now = { ...store.now, authenticationEnabled: true };
    store.known = store.now;
    clock.advance(MAX_DECISION_AGE_MS + 1);
    assertEquals((await read(scene, "/kv/snapshot_read", token))?.[0], 401);
    assertEquals(store.reads.length, 0);
    assertEquals((await scene.exchange("/", "x")).status, 401);
  }));

Deno.test("access: by databases that cannot be read for a while nothing is decided", () =>
  withService(async (scene) => {
    const { store, clock } = scene;
    const token = await scene.dataToken();
    assertEquals(await read(scene, "/kv/snapshot_read", token), READ);
    clock.advance(MAX_DECISION_AGE_MS + 1);
    const { databases } = store;
    store.databases = () => Promise.reject(noLeader());
    assertEquals((await read(scene, "/kv/snapshot_read", token))?.[0], 503);
    store.databases = databases;
    assertEquals(await read(scene, "/kv/snapshot_read", token), READ);
  }));

Deno.test("access: a data token is of its database only, and ends with its access token", () =>
  withService(async (scene) => {
    const token = await scene.dataToken("/orders", "first");
    assertEquals(await read(scene, "/orders/kv/snapshot_read", token), READ);
    assertEquals((await read(scene, "/kv/snapshot_read", token))?.[0], 401);
    scene.store.change({ databases: [DEFAULT, { ...ORDERS, tokens: ORDERS.tokens.slice(1) }] });
    await settle();
    assertEquals(await read(scene, "/orders/kv/snapshot_read", token), [
      401,
      "The access token was removed.",
    ]);
    assertEquals((await scene.exchange("/orders", "first")).status, 401);
    assertEquals((await scene.exchange("/orders", "second")).status, 200);
  }));

Deno.test("access: a database whose last token was removed takes no client", () =>
  withService(async (scene) => {
    scene.store.change({ databases: [DEFAULT, { ...ORDERS, tokens: [] }] });
    await settle();
    const { status, body } = await scene.exchange("/orders", "first");
    assertEquals([status, body.includes("denokv token orders")], [401, true]);
  }));

Deno.test("access: a node that was away gives no data by the rights of its old state", () =>
  withService(async (scene) => {
    const { store } = scene;
    store.now = { ...store.now, revision: 2, databases: [DEFAULT, { ...ORDERS, isOpen: true, tokens: [] }] };
    const token = await scene.dataToken("/orders", "first");
    store.hasLeader = false;
    assertEquals((await read(scene, "/orders/kv/snapshot_read", token))?.[0], 503);
    store.hasLeader = true;
    assertEquals(await read(scene, "/orders/kv/snapshot_read", token), [
      401,
      "The access token was removed.",
    ]);
  }));

Deno.test("access: a data token that is expired, made up or missing is answered 401", () =>
  withService(async (scene) => {
    const token = await scene.dataToken();
    scene.nowMs += METADATA_LIFETIME_MS - 1;
    assertEquals(await read(scene, "/kv/snapshot_read", token), READ);
    scene.nowMs += 1;
    assertEquals((await read(scene, "/kv/snapshot_read", token))?.[0], 401);
    assertEquals((await read(scene, "/kv/snapshot_read", "v1.AAAA"))?.[0], 401);
    assertEquals(textOf(await scene.send("/kv/snapshot_read")), [401, "Malformed authorization header."]);
    const basic = await scene.send("/kv/snapshot_read", { headers: { authorization: "Basic eDp5" } });
    assertEquals(textOf(basic), [401, "Malformed authorization header."]);
    const refused = { remote: "127.0.0.1:50000", request: "/kv/snapshot_read", code: 401 };
    const reasons = scene.audit.lines.map(({ fields: { reason, ...fields } }) => {
      assertEquals(fields, refused);
      return reason;
    });
    assertEquals(reasons.slice(2), Array(2).fill("Malformed authorization header."));
    assertEquals(reasons.length, 4, "each has a line");
  }));

Deno.test("access: a request for another database's id is answered 400", () =>
  withService(async (scene) => {
    const authorization = `Bearer ${await scene.dataToken()}`;
    for (const name of ["x-denokv-database-id", "x-transaction-domain-id"]) {
      const same = await scene.send("/kv/snapshot_read", {
        headers: { authorization, [name]: DEFAULT.uuid },
      });
      assertEquals(textOf(same), READ);
      const other = await scene.send("/kv/snapshot_read", {
        headers: { authorization, [name]: ORDERS.uuid },
      });
      assertEquals(textOf(other), [400, "Invalid database id."]);
    }
  }));

Deno.test("access: other paths and methods are refused", () =>
  withService(async (scene) => {
    for (const path of ["/Orders", "/orders/kv", "/kv/enqueue", "/orders/x/kv/watch", "*", "/a/b", "/-a"]) {
      assertEquals((await scene.send(path)).answer?.status, 404, path);
    }
    const get = await scene.send("/", { method: "GET" });
    assertEquals([get.answer?.status, get.answer?.headers?.["allow"]], [405, "POST"]);
  }));

Deno.test("access: a client of version 1 is given an absolute URL of the host that it named", () =>
  withService(async (scene) => {
    const request = new FakeRequest("/orders", {
      headers: { authorization: "Bearer first", host: "kv.example.com:4512" },
    });
    await scene.service.handle(request);
    const { endpoints } = JSON.parse(String(request.answer?.body));
    assertEquals(endpoints[0].url, "http://kv.example.com:4512/orders/kv");
  }));

Deno.test("access: a client that asks for metadata without pause is logged once in a while", () =>
  withService(async (scene) => {
    const count = (): number =>
      scene.logger.lines.filter(({ message }) => message.includes("without pause")).length;
    for (let asked = 0; asked < 20; asked++) await scene.exchange("/", "");
    assertEquals(count(), 0);
    for (let asked = 0; asked < 20; asked++) await scene.exchange("/", "");
    assertEquals(count(), 1);
  }));

Deno.test("access: where other clients must show certificates, every database needs an access token", () =>
  withService(async (scene) => {
    const { status, body } = await scene.exchange("/", "any");
    assertEquals(status, 401);
    assertStringIncludes(body, "Database default needs an access token");
    assertEquals((await scene.exchange("/orders", "second")).status, 200);
  }, { needsTokens: true }));
