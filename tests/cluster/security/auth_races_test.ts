/**
 * Authentication that is enabled and disabled again and again, at real nodes under load: clients with a right to what they do
 * notice nothing, and a client without a user is served only while authentication is disabled. Some come through a gateway.
 */
import { assert, assertEquals } from "@std/assert";
import { AuthenticationError, type ConnectOptions, KvClient, KvraftError } from "../../../lib/mod.ts";
import { DEADLINE_MS } from "../../support/eventually.ts";
import { CheckedWorkload } from "../../support/processes/checked_workload.ts";
import { TestCluster } from "../../support/processes/cluster.ts";
import { startKvraft } from "../../support/processes/process.ts";
import { freePorts } from "../../support/temporary.ts";

const ROUNDS = 20;
/** Clients without a user: of the nodes, and of the gateway. */
const ANONYMOUS = 2;
/** Acknowledged requests of the clients with a user before, and after. */
const PROGRESS = 100;

/** A span of time, by the clock of this process. */
interface Span {
  readonly begin: number;
  readonly end: number;
}

/** Puts of clients without a user. */
class AnonymousWriters implements AsyncDisposable {
  /** When those were made that were applied, as far as their clients know. */
  readonly applied: Span[] = [];
  refused = 0;
  readonly #clients: readonly KvClient[];
  readonly #finished: Promise<unknown>;
  #isStopped = false;

  constructor(clients: readonly KvClient[]) {
    this.#clients = clients;
    this.#finished = Promise.all(clients.map((client, writer) => this.#write(client, writer)));
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#finished;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true;
    for (const client of this.#clients) await client.close();
    await this.#finished.catch(() => {});
  }

  async #write(client: KvClient, writer: number): Promise<void> {
    for (let made = 0; !this.#isStopped; made++) {
      const begin = performance.now();
      try {
        await client.put(`anonymous/${writer}`, `${made}`);
        this.applied.push({ begin, end: performance.now() });
      } catch (error) {
        if (!(error instanceof KvraftError) || this.#isStopped) return;
        assert(error instanceof AuthenticationError, `${error}`);
        this.refused++;
      }
    }
  }
}

/** Writes through a gateway by a token until `isOver`; resolves to the number of writes. Each must succeed. */
async function writeSignedIn(target: ConnectOptions, isOver: () => boolean): Promise<number> {
  await using client = await KvClient.connect(target);
  let made = 0;
  for (; !isOver(); made++) await client.put(`gateway/${made}`, "value");
  return made;
}

Deno.test("auth: enabled and disabled again and again under load, it serves no client without a user while enabled", async () => {
  await using cluster = await TestCluster.start();
  const target = { cluster: cluster.ids.map((id) => cluster.address(id)), timeoutMs: DEADLINE_MS };
  await using setUp = await KvClient.connect(target);
  await setUp.auth.addUser("root");
  await setUp.auth.grantRole("root", "root");
  const { token } = await setUp.auth.createToken("root", { name: "test" });
  cluster.token = token;
  const bind = `127.0.0.1:${freePorts(1)}`;
  await using gateway = startKvraft(["gateway", "--cluster", target.cluster.join(), "--bind", bind], {
    cwd: cluster.folder.path,
  });
  await gateway.waitForOutput(/serves .*kvraft's clients on/, { explain: cluster.logs });
  const throughGateway = { ...target, cluster: [bind] };
  const targets = Array.from({ length: ANONYMOUS }, () => [target, throughGateway]).flat();
  await using writers = new AnonymousWriters(await Promise.all(targets.map((one) => KvClient.connect(one))));
  let isOver = false;
  const signedIn = writeSignedIn({ ...throughGateway, token }, () => isOver);
  await using workload = await CheckedWorkload.start(cluster, { seed: 1, watchers: 2 });
  await using root = await cluster.connect();
  await workload.progress(PROGRESS, cluster.logs);

  /** From the acknowledged enabling to the call that disables. */
  const enabled: Span[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    await root.auth.enable();
    const begin = performance.now();
    const { refused } = writers;
    for (let put = 0; put < 10 || (writers.refused === refused && put < 100); put++) {
      await root.put("round", `${round}`);
    }
    enabled.push({ begin, end: performance.now() });
    await root.auth.disable();
    await root.put("round", `${round}`);
  }
  await workload.progress(PROGRESS, cluster.logs);
  await workload.stopAndCheck(root);
  await writers.stop();
  isOver = true;
  assert(await signedIn > 0);
  const wrong = writers.applied.filter(({ begin, end }) =>
    enabled.some((span) => span.begin < begin && end < span.end)
  );
  assertEquals(wrong, []);
  assert(writers.applied.length > 0 && writers.refused > 0);
  await cluster.waitForEqualStates();
});
