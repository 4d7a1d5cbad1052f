/** Locks, elections and watches between programs, which are suspended and killed, over nodes that are. */
import { assert, assertEquals } from "@std/assert";
import type { KvClient } from "../../../lib/mod.ts";
import { eventually } from "../../support/eventually.ts";
import { TestCluster } from "../../support/processes/cluster.ts";
import { denoCommand, Process } from "../../support/processes/process.ts";
import { step } from "../../support/step.ts";

const text = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes);

/** Time to live where every node runs. */
const TTL_MS = 3_000;
/** Time to live over the death of a leader: a contender that cannot reach the cluster meanwhile loses its place. */
const LONG_TTL_MS = 6_000;

/** The programs and nodes of one test. */
class Contest implements AsyncDisposable {
  readonly cluster: TestCluster;
  readonly client: KvClient;
  readonly #programs = new AsyncDisposableStack();

  private constructor(cluster: TestCluster, client: KvClient) {
    this.cluster = cluster;
    this.client = client;
  }

  static async begin(): Promise<Contest> {
    const cluster = await TestCluster.start();
    const client = await cluster.connect();
    return new Contest(cluster, client);
  }

  /** Starts a contender, and waits until it is in the queue, behind `before` others. */
  async join(
    label: string,
    { name, before, ttlMs, kind = "lock", mode = "fenced" }: {
      readonly name: string;
      readonly before: number;
      readonly ttlMs: number;
      readonly kind?: "lock" | "elect";
      readonly mode?: "fenced" | "unfenced";
    },
  ): Promise<Process> {
    const addresses = this.cluster.ids.map((id) => this.cluster.address(id));
    const [program, ...args] = denoCommand("tests/support/processes/contender.ts", {
      permissions: ["--allow-net"],
      args: [kind, mode, `${ttlMs}`, name, label, ...addresses],
    });
    const process = Process.start(program, args, { cwd: this.cluster.folder.path, name: label });
    this.#programs.use(process);
    await eventually(`${label} is in the queue`, async () => {
      const { entries } = await this.client.list({ prefix: `${name}/` });
      return entries.length > before ? true : null;
    }, { explain: () => process.printed + this.cluster.logs() });
    return process;
  }

  /** Waits until a contender holds the lock; returns its fencing token. */
  async token(process: Process): Promise<number> {
    await process.waitForOutput(/holds \d+\n[^]*is ready\n/, {
      explain: () => process.printed + this.cluster.logs(),
    });
    return Number(/holds (\d+)/.exec(process.printed)?.[1]);
  }

  /** Has a contender write, and waits for what becomes of it. */
  async write(label: string, process: Process): Promise<"wrote" | "was refused"> {
    const before = outcomes(process).length;
    await this.client.put(`write/${label}`, "now");
    return await eventually(`${label} has written, or was refused`, () => outcomes(process)[before] ?? null, {
      explain: () => process.printed + this.cluster.logs(),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#programs.disposeAsync();
    await this.client.close();
    await this.cluster[Symbol.asyncDispose]();
  }
}

function outcomes(process: Process): ("wrote" | "was refused")[] {
  return [...process.printed.matchAll(/ (wrote|was refused)\n/g)].map(([, outcome]) =>
    outcome === "wrote" ? "wrote" : "was refused"
  );
}

/**
 * Suspends the holder of a lock for longer than its lease, has the next one take the lock and write, then resumes the
 * former one, which writes. Returns what became of that write, and whose value the resource has.
 */
async function overtake(
  contest: Contest,
  mode: "fenced" | "unfenced",
): Promise<{ readonly late: string; readonly owner: "former" | "next" }> {
  const name = `lock-${mode}`;
  const [formerLabel, nextLabel] = [`${mode}-former`, `${mode}-next`];
  const former = await contest.join(formerLabel, { name, before: 0, ttlMs: TTL_MS, mode });
  const formerToken = await contest.token(former);
  assertEquals(await contest.write(formerLabel, former), "wrote");
  const next = await contest.join(nextLabel, { name, before: 1, ttlMs: TTL_MS, mode });
  former.signal("SIGSTOP");
  const nextToken = await contest.token(next);
  assert(nextToken > formerToken, "each later holder has a greater token");
  assertEquals(await contest.write(nextLabel, next), "wrote");
  await contest.client.put(`write/${formerLabel}`, "as it resumes");
  former.signal("SIGCONT");
  const late = await eventually("the former holder has written", () => outcomes(former)[1] ?? null, {
    explain: () => former.printed + contest.cluster.logs(),
  });
  const owner = Number(text((await contest.client.get("resource"))?.value));
  await former.kill();
  await next.kill();
  return { late, owner: owner === nextToken ? "next" : "former" };
}

Deno.test("locks: programs contend while they are suspended and killed, and the leader is", async (t) => {
  await using contest = await Contest.begin();
  const { cluster, client } = contest;
  await step(t, "a holder that was suspended beyond its lease writes nothing any more", async () => {
    assertEquals(await overtake(contest, "fenced"), { late: "was refused", owner: "next" });
  });
  await step(t, "without the check it would: the test before sees the difference", async () => {
    assertEquals(await overtake(contest, "unfenced"), { late: "wrote", owner: "former" });
  });
  await step(
    t,
    "killed holders are followed in the order of the queue, over the leader's death",
    async () => {
      const programs: Process[] = [];
      for (let position = 0; position < 3; position++) {
        programs.push(
          await contest.join(`p${position}`, { name: "queue", before: position, ttlMs: LONG_TTL_MS }),
        );
      }
      const killed = await cluster.waitForLeader();
      const tokens: number[] = [];
      for (const [position, program] of programs.entries()) {
        tokens.push(await contest.token(program));
        const behind = programs.slice(position + 1);
        assertEquals(behind.some(({ printed }) => printed.includes("holds")), false, "the others wait");
        if (position === 1) await cluster.kill(killed);
        await program.kill();
      }
      assertEquals(tokens, tokens.toSorted((a, b) => a - b));
      await cluster.startNode(killed);
    },
  );
  await step(t, "an observer sees each elected program, over the death of node and program", async () => {
    const seen: string[] = [];
    const stop = new AbortController();
    const observing = (async () => {
      for await (const leader of client.observe("e", { signal: stop.signal })) {
        seen.push(leader === null ? "none" : text(leader.value));
      }
    })().catch((error) => {
      if (!stop.signal.aborted) throw error;
    });
    const alice = await contest.join("alice", { name: "e", before: 0, ttlMs: LONG_TTL_MS, kind: "elect" });
    await contest.token(alice);
    const bob = await contest.join("bob", { name: "e", before: 1, ttlMs: LONG_TTL_MS, kind: "elect" });
    const killed = await cluster.waitForLeader();
    await cluster.kill(killed);
    await alice.kill();
    await contest.token(bob);
    await cluster.startNode(killed);
    await bob.kill();
    await eventually(
      "the observer sees that there is no leader",
      () => seen.at(-1) === "none" && seen.length > 2 || null,
    );
    stop.abort();
    await observing;
    // A candidate that could not keep its lease over the node's death has joined again, under another key.
    const leaders = seen.filter((leader, position) => leader !== seen[position - 1]);
    assertEquals(leaders, ["none", "alice", "bob", "none"]);
  });
});
