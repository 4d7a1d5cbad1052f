/**
 * Rights that are taken and given at real nodes: after each change, what each kind of client is answered is what a model of
 * users and roles says, by connections from before the change: kvraft's own, a certificate, the port of etcd, the page, a gateway;
 * at leader, followers and a learner, over a transfer of leadership, a crash and a snapshot that a suspended node is sent.
 */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { KvClient } from "../../../lib/mod.ts";
import type { Dialer } from "../../../lib/platform/network.ts";
import { SystemClock } from "../../../lib/platform/system.ts";
import { TlsDialer } from "../../../lib/platform/tls/tls_dialer.ts";
import { DEADLINE_MS, eventually } from "../../support/eventually.ts";
import { prefixKeys, type TestWatch } from "../../support/frames/watch_client.ts";
import { UserClient } from "../../support/frames/user_client.ts";
import { TestCluster } from "../../support/processes/cluster.ts";
import { startKvraft } from "../../support/processes/process.ts";
import { step } from "../../support/step.ts";
import { freePorts } from "../../support/temporary.ts";
import { Authority } from "../../support/tls/certificates.ts";
import { type Access, type Change, CHANGES, GRANTED, Model, type User, USERS } from "./rights_model.ts";

const HOST = "127.0.0.1";
const NODES = 3;
const LEARNER = NODES + 1;
const CLOCK = new SystemClock();
const KEY = "app/key";
/** A key that root alone writes. */
const WATCHED = "app/watched";
const PASSWORD = "root's password";
const FILLERS = 16;
const RESTORED = "state restored from the leader's snapshot";
const TLS_FLAGS = ["--tls-cert", "node.crt", "--tls-key", "node.key", "--tls-ca", "ca.crt"];
/** A request of a user, and the right that it needs over the keys of `app/`; null for one that any user may make. */
interface Way {
  readonly title: string;
  readonly user: User;
  readonly right: Access | null;
  readonly ask: () => Promise<string>;
}

/** The addresses of a process, and what it is. */
interface Place {
  readonly title: string;
  readonly port: number;
  readonly etcdPort: number;
  /** Null for a gateway, which has no page. */
  readonly httpPort: number | null;
}

/** The certificates and the token of the clients. */
interface Secrets {
  readonly authority: Authority;
  readonly dialers: Readonly<Record<User, Dialer>>;
  readonly token: string;
  /** The token of an operator. */
  readonly operator: string;
  /** A lease with a key of `app/`. */
  readonly leaseId: number;
}

/** Returns what an answer over HTTP means. */
function outcomeOfHttp(status: number, text: string): string {
  if (status === 200) return "ok";
  if (status === 401 || text.includes("user name is empty")) return "unauthenticated";
  return text.includes("permission denied") ? "permissionDenied" : `${status} ${text}`;
}

/** A connection of kvraft's own clients: that of the token or that of the certificate. */
class Native implements Disposable {
  readonly user: User;
  readonly title: string;
  readonly #client: UserClient;
  readonly #leaseId: number;
  /** The watch that goes on; null while there is none. */
  watch: TestWatch | null = null;

  private constructor(
    client: UserClient,
    { user, title, leaseId }: { readonly user: User; readonly title: string; readonly leaseId: number },
  ) {
    this.#client = client;
    this.user = user;
    this.title = title;
    this.#leaseId = leaseId;
  }

  static async open({ title, port }: Place, user: User, secrets: Secrets): Promise<Native> {
    const { dialers, token, leaseId } = secrets;
    const address = { host: HOST, port };
    const client = await UserClient.open({ network: dialers[user], clock: CLOCK, address });
    if (user === "program") assertEquals(await client.signInByToken(token), "signedIn", title);
    return new Native(client, { user, title: `${user} at ${title}`, leaseId });
  }

  get ways(): readonly Way[] {
    const { user, title } = this;
    const client = this.#client;
    const leaseId = this.#leaseId;
    const okOr = (outcome: string, ok: string): string => outcome === ok ? "ok" : outcome;
    return [
      { title: `${title}: get`, user, right: "read", ask: async () => okOr(await client.get(KEY), "value") },
      {
        title: `${title}: put`,
        user,
        right: "write",
        ask: async () => okOr(await client.put(KEY, "value"), "applied"),
      },
      {
        title: `${title}: keep a lease alive`,
        user,
        right: "write",
        ask: async () =>
          okOr(await client.outcome({ kind: "keepAlive", leaseIds: [leaseId] }), "keepAliveResult"),
      },
    ];
  }

  get(consistency: "linearizable" | "stale"): Promise<string> {
    return this.#client.get(KEY, consistency);
  }

  async startWatch(): Promise<TestWatch> {
    return this.watch ??= await this.#client.watch({ keys: prefixKeys("app/") });
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

/** Returns the requests that need no connection of their own: of clients of etcd, and for the page. */
function webWays(
  { title, etcdPort, httpPort }: Place,
  { token }: Secrets,
  client: Deno.HttpClient,
): readonly Way[] {
  const etcd = async (path: string, body: unknown): Promise<string> => {
    const response = await fetch(`https://${HOST}:${etcdPort}/v3/kv/${path}`, {
      client,
      method: "POST",
      headers: { authorization: token },
      body: JSON.stringify(body),
    });
    return outcomeOfHttp(response.status, await response.text());
  };
  const page = async (): Promise<string> => {
    const headers = { authorization: `Bearer ${token}` };
    const response = await fetch(`https://${HOST}:${httpPort}/status`, { client, headers });
    return outcomeOfHttp(response.status, await response.text());
  };
  const user = "program";
  const [key, value] = [btoa(KEY), btoa("value")];
  return [
    { title: `etcd at ${title}: range`, user, right: "read", ask: () => etcd("range", { key }) },
    { title: `etcd at ${title}: put`, user, right: "write", ask: () => etcd("put", { key, value }) },
    ...httpPort === null ? [] : [{ title: `page of ${title}`, user, right: null, ask: page } as const],
  ];
}

/** A cluster with users, a learner and a gateway, and the model of its users. */
class Scene implements AsyncDisposable {
  readonly model = new Model();
  readonly cluster: TestCluster;
  readonly root: KvClient;
  readonly #secrets: Secrets;
  readonly #places: readonly Place[];
  readonly #http: Deno.HttpClient;
  readonly #natives = new Map<string, Native>();
  #puts = 0;

  constructor(
    { cluster, root, secrets, places }: {
      readonly cluster: TestCluster;
      readonly root: KvClient;
      readonly secrets: Secrets;
      readonly places: readonly Place[];
    },
  ) {
    this.cluster = cluster;
    this.root = root;
    this.#secrets = secrets;
    this.#places = places;
    this.#http = Deno.createHttpClient({ caCerts: [secrets.authority.cert] });
  }

  /** Connects where no connection is. A gateway takes no user from a certificate. */
  async connect(): Promise<void> {
    for (const place of this.#places) {
      for (const user of place.httpPort === null ? ["program"] as const : USERS) {
        const name = `${user} at ${place.title}`;
        if (!this.#natives.has(name)) {
          this.#natives.set(name, await Native.open(place, user, this.#secrets));
        }
      }
    }
  }

  /** Closes the connections to a node. */
  disconnect(id: number): void {
    for (const user of USERS) {
      this.native(user, id)[Symbol.dispose]();
      this.#natives.delete(`${user} at node ${id}`);
    }
  }

  native(user: User, id: number): Native {
    const native = this.#natives.get(`${user} at node ${id}`);
    assert(native !== undefined);
    return native;
  }

  /** Makes a change, and compares every answer after it with the model. */
  async make({ title, inModel, inCluster }: Change): Promise<void> {
    inModel(this.model);
    await inCluster(this.root);
    const value = `put ${++this.#puts}, after ${title}`;
    await this.root.put(WATCHED, value);
    await this.check(title);
    await Promise.all([...this.#natives.values()].map((native) => this.#checkWatch(native, value)));
    await this.startWatches();
  }

  /** Compares the answers to all requests with the model. */
  async check(title: string): Promise<void> {
    const web = this.#places.flatMap((place) => webWays(place, this.#secrets, this.#http));
    // First the connections: a linearizable read there brings the node of a page up to date.
    for (const ways of [[...this.#natives.values()].flatMap(({ ways }) => ways), web]) {
      const asked = await Promise.all(ways.map(async ({ title, ask }) => [title, await ask()]));
      const expected = ways.map(({ title, user, right }) => [title, this.model.outcome(user, right)]);
      assertEquals(asked, expected, `after “${title}”\n${this.cluster.logs()}`);
    }
  }

  /** Begins a watch on each connection whose user may read. */
  async startWatches(): Promise<void> {
    for (const native of this.#natives.values()) {
      if (this.model.outcome(native.user, "read") === "ok") await native.startWatch();
    }
  }

  /** Waits until a watch has an event, where its user may read, and else until it has ended without it. */
  async #checkWatch(native: Native, value: string): Promise<void> {
    const { watch, title, user } = native;
    if (watch === null) return;
    const outcome = this.model.outcome(user, "read");
    const explain = (): string => `${title}: ${watch.text.join("\n")}\n${this.cluster.logs()}`;
    if (outcome === "ok") {
      const shows = (): boolean | null => watch.text.some((event) => event.endsWith(`=${value}`)) || null;
      return void await eventually(`the watch of ${title} shows ${value}`, shows, { explain });
    }
    await eventually(`the watch of ${title} ends`, () => watch.ended, { explain });
    assertEquals(watch.ended?.code, outcome);
    assert(!explain().includes(`=${value}`), explain());
    native.watch = null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const native of this.#natives.values()) native[Symbol.dispose]();
    this.#http.close();
    await this.root.close();
  }
}

/** Adds the users, a token and a lease with a key; enables authentication. */
async function addUsers(client: KvClient): Promise<Pick<Secrets, "token" | "operator" | "leaseId">> {
  const { auth } = client;
  await auth.addUser("root", { password: PASSWORD });
  await auth.grantRole("root", "root");
  await auth.addRole("app");
  for (const right of ["read", "write"] as const) await auth.grant("app", right, GRANTED);
  for (const user of USERS) {
    await auth.addUser(user);
    await auth.grantRole(user, "app");
  }
  const { token } = await auth.createToken("program", { name: "test" });
  await auth.addUser("operator");
  await auth.grantRole("operator", "root");
  const { token: operator } = await auth.createToken("operator", { name: "test" });
  const { leaseId } = await client.leases.grant({ ttlMs: 3_600_000 });
  await client.put("app/leased", "value", { leaseId });
  await client.put(KEY, "value");
  await auth.enable();
  return { token, operator, leaseId };
}

/** Suspends a follower while a right is taken and the log is cut behind it: it must not serve what was written since. */
async function sleepOver(scene: Scene): Promise<void> {
  const { root, cluster, model } = scene;
  const { leader } = await root.cluster.status();
  const asleep = cluster.ids.find((id) => id !== leader && id !== LEARNER) ?? 0;
  await scene.startWatches();
  const natives = USERS.map((user) => scene.native(user, asleep));
  const before = cluster.logs().split(RESTORED).length;
  cluster.pause(asleep);
  // More than sockets hold, so that the node lacks the entries after them.
  for (let put = 0; put < FILLERS; put++) await root.put("filler", new Uint8Array(1_000_000));
  for (const user of USERS) {
    await root.auth.revokeRole(user, "app");
    model.users.get(user)?.delete("app");
  }
  await root.put(KEY, "secret");
  await root.put(WATCHED, "secret");
  await root.cluster.takeSnapshot({ timeoutMs: DEADLINE_MS });
  cluster.resume(asleep);
  for (const native of natives) {
    const outcome = await eventually("the node is up to date", async () => {
      const outcome = await native.get("stale");
      assert(outcome !== "secret", "a node shows what was written after the right was taken");
      return outcome === "value" ? null : outcome;
    }, { explain: cluster.logs });
    assertEquals(outcome, "permissionDenied");
    const { watch } = native;
    assert(watch !== null);
    const { code } = await watch.whenEnded;
    assert(["permissionDenied", "compacted"].includes(code), code);
    assert(watch.text.every((event) => !event.includes("secret")), watch.text.join("\n"));
    native.watch = null;
  }
  assert(cluster.logs().split(RESTORED).length > before, cluster.logs());
  await scene.check("a node was suspended");
  for (const user of USERS) {
    await root.auth.grantRole(user, "app");
    model.users.get(user)?.add("app");
  }
  await root.put(KEY, "value");
}

/** Kills the leader; its node is back before the answers are compared. */
async function crash(scene: Scene): Promise<void> {
  const { root, cluster } = scene;
  const { leader } = await root.cluster.status();
  assert(leader !== null);
  scene.disconnect(leader);
  await cluster.kill(leader);
  await cluster.startNode(leader);
  await scene.connect();
  await eventually("the cluster has a leader again", async () => (await root.cluster.status()).leader);
  await scene.check("the leader was killed");
}

/** Takes the role of an operator while it downloads a snapshot of each node: no further part is sent. */
async function cutDownloads({ root, cluster }: Scene, { dialers, operator }: Secrets): Promise<void> {
  using connections = new DisposableStack();
  const readers: (() => Promise<string>)[] = [];
  for (const id of cluster.ids) {
    const address = { host: HOST, port: cluster.port(id) };
    const client = connections.use(
      await UserClient.open({ network: dialers.program, clock: CLOCK, address }),
    );
    assertEquals(await client.signInByToken(operator), "signedIn");
    const taken = await client.ask({ kind: "takeSnapshot", keep: true });
    assert(taken.kind === "snapshotTaken", JSON.stringify(taken));
    const { snapshotId } = taken;
    readers.push(() => client.outcome({ kind: "readSnapshot", snapshotId, offset: 0 }));
  }
  const parts = (): Promise<readonly string[]> => Promise.all(readers.map((read) => read()));
  assertEquals(await parts(), cluster.ids.map(() => "snapshotPart"));
  await root.auth.revokeRole("operator", "root");
  // No part waits for the node to be up to date, as a read does.
  for (const [position, id] of cluster.ids.entries()) {
    const refused = async (): Promise<boolean | null> =>
      await readers[position]?.() === "permissionDenied" || null;
    await eventually(`node ${id} sends no part`, refused, { explain: cluster.logs });
  }
}

/** Returns the certificates of the scene, as a dialer of each user has them. */
function dialersOf(authority: Authority): Secrets["dialers"] {
  const dialerOf = (own: { readonly cert: string; readonly key: string } | null): Dialer => {
    const credentials = { ca: authority.cert, cert: own?.cert ?? null, key: own?.key ?? null };
    return new TlsDialer({ credentials: () => credentials, serverName: null, minVersion: "TLSv1.3" });
  };
  return {
    program: dialerOf(null),
    machine: dialerOf(authority.issue({ name: "machine", usages: ["client"] })),
  };
}

/** Writes the files of the nodes, which have one certificate, and of the gateway. */
async function writeFiles(directory: string, authority: Authority): Promise<null> {
  const { cert, key } = authority.node();
  const files = { "ca.crt": authority.cert, "node.crt": cert, "node.key": key };
  for (const [name, text] of Object.entries(files)) {
    await Deno.writeTextFile(join(directory, name), text, { mode: 0o600 });
  }
  return null;
}

Deno.test("rights: what was taken away is refused at once at every node, to every kind of client, over faults", async (t) => {
  const authority = new Authority();
  const ports = freePorts(3 * LEARNER + 3);
  const placeOf = (cluster: TestCluster, id: number): Place => (
    { title: `node ${id}`, port: cluster.port(id), etcdPort: ports + 2 * id, httpPort: ports + 2 * id + 1 }
  );
  await using cluster = await TestCluster.start({
    flags: [
      ...TLS_FLAGS,
      "--snapshot-log-bytes",
      "65536",
      "--segment-bytes",
      "65536",
      "--history-bytes",
      "4096",
    ],
    flagsOf: (id) => ["--etcd", `${HOST}:${ports + 2 * id}`, "--http", `${HOST}:${ports + 2 * id + 1}`],
    prepare: ({ folder }) => writeFiles(folder.path, authority),
  });
  const options = {
    cluster: cluster.ids.map((id) => cluster.address(id)),
    tls: { ca: authority.cert },
    timeoutMs: DEADLINE_MS,
  };
  await using setUp = await KvClient.connect(options);
  const learner = await cluster.join();
  const change = {
    kind: "add",
    id: learner,
    address: cluster.memberAddress(learner),
    learner: true,
  } as const;
  await setUp.cluster.changeMembership(change);
  const secrets = {
    ...await addUsers(setUp),
    authority,
    dialers: dialersOf(authority),
  };
  const [gatewayPort, gatewayEtcd] = [ports, ports + 1];
  await using gateway = startKvraft([
    "gateway",
    ...["--cluster", options.cluster.join(), "--cluster-tls-ca", "ca.crt", ...TLS_FLAGS],
    ...["--bind", `${HOST}:${gatewayPort}`, "--etcd", `${HOST}:${gatewayEtcd}`],
  ], { cwd: cluster.folder.path, name: "the gateway" });
  await gateway.waitForOutput(/serves .*kvraft's clients on/, { explain: cluster.logs });
  await using scene = new Scene({
    cluster,
    root: await KvClient.connect({ ...options, user: "root", password: PASSWORD }),
    secrets,
    places: [
      ...cluster.ids.map((id) => placeOf(cluster, id)),
      { title: "the gateway", port: gatewayPort, etcdPort: gatewayEtcd, httpPort: null },
    ],
  });
  await scene.connect();
  await scene.check("users were added");
  await step(
    t,
    "a node that is suspended while rights are taken, and is sent a snapshot",
    () => sleepOver(scene),
  );
  await step(t, "a leader that is killed", () => crash(scene));
  await step(t, "downloads of snapshots in progress", () => cutDownloads(scene, secrets));
  for (const [position, change] of CHANGES.entries()) {
    if (position % 4 === 1) await scene.root.cluster.transferLeadership(null);
    await step(t, change.title, () => scene.make(change));
  }
});
