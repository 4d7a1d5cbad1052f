/**
 * Changes of who may connect, at real nodes with mutual TLS and under load: certificates are renewed, a role is revoked
 * and a user is removed. No request fails but those of the users who were cut off, and those all fail.
 */
import { assert, assertEquals } from "@std/assert";
import { X509Certificate } from "node:crypto";
import { join } from "@std/path";
import {
  AuthenticationError,
  type ConnectOptions,
  KvClient,
  PermissionDeniedError,
} from "../../../lib/mod.ts";
import { TlsDialer } from "../../../lib/platform/tls/tls_dialer.ts";
import { DEADLINE_MS, eventually } from "../../support/eventually.ts";
import { TestCluster } from "../../support/processes/cluster.ts";
import { Authority } from "../../support/tls/certificates.ts";

/** Requests that each writer makes between two changes, at least. */
const PROGRESS = 50;
/** Requests of a user who was cut off, all refused, that end the writer. */
const REFUSED = 20;

/** One put. */
interface Attempt {
  readonly startedAt: number;
  readonly endedAt: number;
  /** Whether it was applied, or the name of the error. */
  readonly outcome: "applied" | "permissionDenied" | "unauthenticated" | string;
}

function outcomeOf(error: unknown): string {
  if (error instanceof PermissionDeniedError) return "permissionDenied";
  if (error instanceof AuthenticationError) return "unauthenticated";
  return String(error);
}

/** A client that puts one key after the other, until it is stopped or cut off. */
class Writer implements AsyncDisposable {
  readonly attempts: Attempt[] = [];
  readonly finished: Promise<void>;
  readonly #client: KvClient;
  readonly #prefix: string;
  #isStopped = false;

  constructor(client: KvClient, prefix: string) {
    this.#client = client;
    this.#prefix = prefix;
    this.finished = this.#write();
  }

  /** Waits until the writer has made some more requests. */
  async progress(explain: () => string): Promise<void> {
    const { length } = this.attempts;
    await eventually(`${this.#prefix} is written`, () => this.attempts.length >= length + PROGRESS || null, {
      explain,
    });
  }

  stop(): void {
    this.#isStopped = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop();
    await this.#client.close();
    await this.finished;
  }

  async #write(): Promise<void> {
    let refused = 0;
    while (!this.#isStopped && refused < REFUSED) {
      const startedAt = performance.now();
      const outcome = await this.#client.put(`${this.#prefix}${this.attempts.length}`, "value")
        .then(() => "applied", outcomeOf);
      if (this.#isStopped && outcome !== "applied") break;
      if (outcome !== "applied") refused++;
      this.attempts.push({ startedAt, endedAt: performance.now(), outcome });
    }
  }
}

/** Asserts that a user's requests succeeded before a change, and failed so after it. */
function assertCutOff(
  writer: Writer,
  change: { readonly begin: number; readonly end: number },
  as: string,
): void {
  const early = writer.attempts.filter(({ endedAt }) => endedAt < change.begin);
  const late = writer.attempts.filter(({ startedAt }) => startedAt > change.end);
  assert(early.length >= PROGRESS, "there are requests before the change");
  assert(late.length > 0, "there are requests after the change");
  assertEquals(early.filter(({ outcome }) => outcome !== "applied"), [], "none fails before");
  assertEquals(late.filter(({ outcome }) => outcome !== as), [], "each fails after it");
  const outcomes = writer.attempts.map(({ outcome }) => outcome);
  const firstRefused = outcomes.indexOf(as);
  assertEquals(
    outcomes.slice(firstRefused).filter((outcome) => outcome !== as),
    [],
    "the refusals are final",
  );
}

/** Writes the files of a node: the key first, then its certificate. Until both are there, the node keeps the earlier. */
async function issue(cluster: TestCluster, id: number, authority: Authority): Promise<string> {
  const { cert, key } = authority.node({ name: `node${id}` });
  for (const [name, text] of [[`node${id}.key`, key], [`node${id}.crt`, cert]] as const) {
    const path = join(cluster.folder.path, name);
    await Deno.writeTextFile(`${path}.new`, text, { mode: 0o600 });
    await Deno.rename(`${path}.new`, path);
  }
  return cert;
}

/** Adds root, and users who may write the keys below their names; returns their tokens. Then enables authentication. */
async function addUsers(options: ConnectOptions): Promise<ReadonlyMap<string, string>> {
  const tokens = new Map<string, string>();
  await using admin = await KvClient.connect(options);
  await admin.auth.addUser("root", { password: "root's password" });
  await admin.auth.grantRole("root", "root");
  for (const user of ["alice", "mallory", "eve"]) {
    await admin.auth.addUser(user);
    await admin.auth.addRole(user);
    await admin.auth.grant(user, "write", { prefix: `${user}/` });
    await admin.auth.grantRole(user, user);
    tokens.set(user, (await admin.auth.createToken(user, { name: "test" })).token);
  }
  await admin.auth.enable();
  return tokens;
}

Deno.test("live changes: certificates are renewed and users are cut off under load, and nothing else fails", async () => {
  const authority = new Authority();
  const credentials = authority.issue({ name: "machine", usages: ["client"] });
  const tls = { ca: authority.cert, ...credentials };
  await using cluster = await TestCluster.start({
    flagsOf: (id) => [
      ...["--tls-cert", `node${id}.crt`, "--tls-key", `node${id}.key`],
      ...["--tls-ca", "ca.crt", "--tls-client-auth", "required"],
    ],
    prepare: async (cluster) => {
      await Deno.writeTextFile(join(cluster.folder.path, "ca.crt"), authority.cert);
      for (const id of cluster.ids) await issue(cluster, id, authority);
      return null;
    },
  });
  const options = { cluster: cluster.ids.map((id) => cluster.address(id)), tls, timeoutMs: DEADLINE_MS };
  const tokens = await addUsers(options);
  await using root = await KvClient.connect({ ...options, user: "root", password: "root's password" });
  const start = async (user: string): Promise<Writer> =>
    new Writer(await KvClient.connect({ ...options, token: tokens.get(user) ?? "" }), `${user}/`);
  await using alice = await start("alice");
  await using mallory = await start("mallory");
  await using eve = await start("eve");
  const progress = async (...writers: readonly Writer[]): Promise<void> => {
    await Promise.all(writers.map((writer) => writer.progress(cluster.logs)));
  };
  await progress(alice, mallory, eve);

  const dialer = new TlsDialer({ credentials: () => tls, serverName: null, minVersion: "TLSv1.3" });
  for (const id of cluster.ids) {
    const { fingerprint256 } = new X509Certificate(await issue(cluster, id, authority));
    const expected = fingerprint256.replaceAll(":", "").toLowerCase();
    await eventually(`node ${id} shows its new certificate`, async () => {
      const address = { host: "127.0.0.1", port: cluster.port(id) };
      const connection = await dialer.connect(address, AbortSignal.timeout(DEADLINE_MS));
      const shown = connection.certificate?.fingerprint;
      connection.close();
      return shown?.replaceAll(":", "").toLowerCase() === expected || null;
    }, { explain: cluster.logs });
    await progress(alice, mallory, eve);
  }

  const timed = async (change: () => Promise<unknown>): Promise<{ begin: number; end: number }> => {
    const begin = performance.now();
    await change();
    return { begin, end: performance.now() };
  };
  const revoked = await timed(() => root.auth.revokeRole("mallory", "mallory"));
  await progress(alice, eve);
  const removed = await timed(() => root.auth.removeUser("eve"));
  await progress(alice);
  await Promise.all([mallory.finished, eve.finished]);
  await progress(alice);
  alice.stop();
  await alice.finished;

  assertEquals(alice.attempts.filter(({ outcome }) => outcome !== "applied"), [], cluster.logs());
  assertCutOff(mallory, revoked, "permissionDenied");
  assertCutOff(eve, removed, "unauthenticated");
});
