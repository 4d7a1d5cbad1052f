/**
 * Hostile programs on the Deno KV port of real `kvraft server` processes, while a stock client is served.
 *
 * A violation: a node ends or its term changes, a request is answered by a status that is none of those for wrong requests,
 * the stock client gets a wrong answer or no answer for long, or a node keeps memory or open files of connections that
 * have ended.
 */
import { SystemClock } from "../../../lib/platform/system.ts";
import { eventually } from "../../support/eventually.ts";
import { SeededRandom } from "../../support/seeded_random.ts";
import { freePorts } from "../../support/temporary.ts";
import { TestCluster } from "../../support/processes/cluster.ts";
import { denoCommand, Process } from "../../support/processes/process.ts";
import { CHECKOUT } from "../../support/checkout.ts";
import { Http1Speaker } from "./http1_speaker.ts";
import { Http2Speaker } from "./http2_speaker.ts";
import type { KnownDatabase } from "./requests.ts";
import type { StockReport } from "./stock_client.ts";

const ACCESS_TOKEN = "a-token-for-tests";
/** Long enough that a busy machine causes no election. */
const FLAGS = ["--election-timeout-ms", "5000", "--log-level", "error"];
const LOOK_MS = 1_000;
const TELL_MS = 30_000;
/** A call of the stock client that takes longer is a violation; it runs on the same busy machine as everything else. */
const LONGEST_CALL_MS = 10_000;
/** Growth of a node's memory that is garbage and buffers, at most. */
const MAX_GROWTH_MIB = 400;
/** Open files of a node beyond those at the beginning, once the hostile programs have ended. */
const MAX_FILES_LEFT = 10;
const SETTLE_MS = 90_000;

/** Options of a run. */
export interface DenokvOptions {
  readonly nodes: 1 | 3;
  readonly seconds: number;
  readonly seed: number;
  /** Takes a line of progress. */
  readonly tell: (line: string) => void;
}

/** Attacks nodes for the given time; resolves to the violations, of which the first counts. */
export async function attackDenokv(options: DenokvOptions): Promise<readonly string[]> {
  const firstPort = freePorts(options.nodes);
  await using cluster = await TestCluster.start({
    nodes: options.nodes,
    flags: FLAGS,
    flagsOf: (id) => ["--denokv", `127.0.0.1:${firstPort + id - 1}`],
  });
  return await new Attack(cluster, { ...options, firstPort }).run();
}

class Attack {
  readonly #cluster: TestCluster;
  readonly #options: DenokvOptions & { readonly firstPort: number };
  readonly #clock = new SystemClock();
  readonly #problems: string[] = [];
  #isOver = false;

  constructor(cluster: TestCluster, options: DenokvOptions & { readonly firstPort: number }) {
    this.#cluster = cluster;
    this.#options = options;
  }

  async run(): Promise<readonly string[]> {
    const { seconds, seed, tell } = this.#options;
    const leader = await this.#cluster.waitForLeader();
    const term = (await this.#cluster.status(leader))?.term ?? 0;
    await using stock = this.#startStockClient(seconds);
    await stock.waitForOutput(/calls/);
    const before = this.#usages();
    const random = new SeededRandom(seed);
    const known = await this.#learn();
    const speakers = this.#cluster.ids.flatMap((id) => {
      const common = {
        clock: this.#clock,
        port: this.#port(id),
        known,
        onProblem: (problem: string) => void this.#problems.push(problem),
      };
      return [
        new Http1Speaker({ ...common, random: new SeededRandom(random.below(2 ** 31)) }),
        new Http2Speaker({ ...common, random: new SeededRandom(random.below(2 ** 31)) }),
      ];
    });
    const goesOn = (): boolean => !this.#isOver && this.#problems.length === 0;
    await Promise.all([
      ...speakers.map((speaker) => speaker.run(goesOn)),
      this.#watch(term, {
        stock,
        tell: () =>
          tell(
            `${progressOf(speakers)}; nodes ${JSON.stringify(this.#usages())}; stock client ${
              lastLine(stock)
            }`,
          ),
      }),
    ]);
    tell(progressOf(speakers));
    await this.#endStockClient(stock);
    await this.#checkUsages(before);
    if (this.#problems.length > 0) tell(this.#cluster.logs().slice(-20_000));
    return this.#problems;
  }

  /** Checks the nodes until the time is over or there is a violation. */
  async #watch(
    term: number,
    { stock, tell }: { readonly stock: Process; readonly tell: () => void },
  ): Promise<void> {
    const endAt = this.#clock.now() + this.#options.seconds * 1_000;
    let tellAt = this.#clock.now() + TELL_MS;
    while (this.#clock.now() < endAt && this.#problems.length === 0 && !stock.hasEnded) {
      await new Promise<void>((resolve) => void this.#clock.after(LOOK_MS, resolve));
      for (const id of this.#cluster.ids) {
        if (this.#cluster.hasEnded(id)) this.#problems.push(`node ${id} has ended`);
        else await this.#checkTerm(id, term);
      }
      if (this.#clock.now() < tellAt) continue;
      tellAt += TELL_MS;
      tell();
    }
    this.#isOver = true;
  }

  async #checkTerm(id: number, term: number): Promise<void> {
    const status = await this.#cluster.status(id);
    if (status !== null && status.term !== term) {
      this.#problems.push(`node ${id} came from term ${term} to ${status.term}`);
    }
  }

  #startStockClient(seconds: number): Process {
    const [command, ...args] = denoCommand("tests/fuzz/denokv/stock_client.ts", {
      permissions: ["--allow-all", "--unstable-kv", "--no-check"],
      args: [`http://127.0.0.1:${this.#port(1)}`, `${seconds}`],
    });
    return Process.start(command, args, {
      cwd: CHECKOUT,
      name: "stock client",
      env: { DENO_KV_ACCESS_TOKEN: ACCESS_TOKEN },
    });
  }

  async #endStockClient(stock: Process): Promise<void> {
    const { code, stdout, stderr } = await stock.end({ deadlineMs: SETTLE_MS });
    const report: StockReport = JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
    this.#options.tell(`stock client: ${JSON.stringify(report)}`);
    if (code !== 0) this.#problems.push(`the stock client: ${report.problem} ${stderr.slice(-2_000)}`);
    if (report.longestMs > LONGEST_CALL_MS) {
      this.#problems.push(`a call of the stock client took ${report.longestMs} ms`);
    }
  }

  /** Waits until the nodes have released what the hostile connections used. */
  async #checkUsages(before: readonly Usage[]): Promise<void> {
    try {
      await eventually("the nodes release memory and files", () => {
        const isReleased = this.#usages().every(({ files, memoryMiB }, position) => {
          const first = before[position] ?? { files: 0, memoryMiB: 0 };
          return files <= first.files + MAX_FILES_LEFT && memoryMiB <= first.memoryMiB + MAX_GROWTH_MIB;
        });
        return isReleased || null;
      }, { deadlineMs: SETTLE_MS });
    } catch {
      this.#problems.push(
        `the nodes used ${JSON.stringify(before)} before and ${JSON.stringify(this.#usages())} now`,
      );
    }
    this.#options.tell(`nodes before ${JSON.stringify(before)}, after ${JSON.stringify(this.#usages())}`);
  }

  #usages(): readonly Usage[] {
    return this.#cluster.ids.map((id) => usageOf(this.#cluster.pid(id)));
  }

  async #learn(): Promise<KnownDatabase> {
    const response = await fetch(`http://127.0.0.1:${this.#port(1)}/`, {
      method: "POST",
      headers: { authorization: `Bearer ${ACCESS_TOKEN}`, "content-type": "application/json" },
      body: JSON.stringify({ supportedVersions: [1, 2, 3] }),
    });
    const { databaseId, token } = await response.json();
    return { databaseId, token };
  }

  #port(id: number): number {
    return this.#options.firstPort + id - 1;
  }
}

/** Resources of a process. */
interface Usage {
  readonly files: number;
  readonly memoryMiB: number;
}

function usageOf(pid: number): Usage {
  const files = [...Deno.readDirSync(`/proc/${pid}/fd`)].length;
  const [, kib = "0"] = /VmRSS:\s+(\d+)/.exec(Deno.readTextFileSync(`/proc/${pid}/status`)) ?? [];
  return { files, memoryMiB: Math.round(Number(kib) / 1_024) };
}

function lastLine(process: Process): string {
  return process.printed.trim().split("\n").at(-1) ?? "";
}

function progressOf(speakers: readonly (Http1Speaker | Http2Speaker)[]): string {
  let requests = 0;
  let connections = 0;
  const answers = new Map<number, number>();
  const attacks = new Map<string, number>();
  for (const speaker of speakers) {
    if (speaker instanceof Http1Speaker) {
      requests += speaker.requests;
      for (const [status, count] of speaker.answers) answers.set(status, (answers.get(status) ?? 0) + count);
    } else {
      connections += speaker.connections;
      for (const [name, count] of speaker.attacks) attacks.set(name, (attacks.get(name) ?? 0) + count);
    }
  }
  return `${requests} requests over HTTP/1.1, answers ${JSON.stringify(Object.fromEntries(answers))}; ` +
    `${connections} connections over HTTP/2: ${JSON.stringify(Object.fromEntries(attacks))}`;
}
