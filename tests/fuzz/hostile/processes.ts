/**
 * Hostile programs against real `kvraft server` processes on loopback: one alone, or three of a cluster of four whose
 * fourth member is hostile (the three are a majority, of which each is needed, and the hostile member does not
 * impersonate another).
 *
 * The load of the machine causes waits here too, so waits are only reported; a failed call is an error of the nodes.
 */
import { parseAddress } from "../../../lib/platform/address.ts";
import { DenoNetwork } from "../../../lib/platform/deno_network.ts";
import { SystemClock } from "../../../lib/platform/system.ts";
import type { Listener } from "../../../lib/platform/network.ts";
import { peerKeyOf } from "../../../lib/transport/handshake/peer_secret.ts";
import { FRAME_KIND } from "../../support/frames/kinds.ts";
import { TestCluster } from "../../support/processes/cluster.ts";
import { SeededRandom } from "../../support/seeded_random.ts";
import { clientHello, frame, Wire } from "../../support/wire.ts";
import { freePorts } from "../../support/temporary.ts";
import { HAS_MANY_LOOPBACK_ADDRESSES } from "../../support/processes/source_address.ts";
import { ALL_KINDS, type FrameKindName, type Knowledge } from "./frames.ts";
import { HttpSpeaker } from "./http_speaker.ts";
import { listenAsMember } from "./member.ts";
import { Speaker } from "./speaker.ts";
import { Witness } from "./witness.ts";

const HOSTILE_MEMBER = 4;
const SPEAKERS = 3;
/** Interval of the check whether this process, which makes all frames, was itself too busy to handle answers. */
const OWN_LOOK_MS = 50;
/** Intervals of the check of terms and of progress reports. */
const LOOK_MS = 1_000;
const TELL_MS = 60_000;
/** Time limit of a call, generous for a busy machine. */
const CALL_TIMEOUT_MS = 30_000;
/** Long enough that a busy machine causes no election. */
const ELECTION_TIMEOUT_MS = 5_000;
/** Nodes log little, since their output is kept in memory. */
const FLAGS = ["--election-timeout-ms", `${ELECTION_TIMEOUT_MS}`, "--log-level", "error"];

const SECRET_FILE = "peer.secret";
const SECRET = "a-secret-that-hostile-programs-do-not-know";

/** Options of a run. */
export interface ProcessesOptions {
  readonly nodes: 1 | 3;
  /** Whether the nodes have a peer secret, which the hostile programs do not know. */
  readonly hasSecret: boolean;
  readonly seconds: number;
  readonly seed: number;
  /** Takes a line of progress. */
  readonly tell: (line: string) => void;
}

/** The results of a run. */
export interface ProcessesReport {
  readonly frames: ReadonlyMap<FrameKindName, number>;
  readonly nodesEnded: number;
  readonly termsChanged: number;
  readonly longestWaitMs: number;
  /** Requests to the HTTP ports. */
  readonly httpRequests: number;
  /** Longest time for which this process was too busy to handle an answer: that part of a wait is its own. */
  readonly ownPauseMs: number;
  readonly calls: number;
  /** Violations; the first counts. */
  readonly problems: readonly string[];
}

/** Starts nodes, disturbs them for the given time, and restarts them at the end. */
export async function runAgainstProcesses(options: ProcessesOptions): Promise<ProcessesReport> {
  const started = options.nodes === 1 ? [1] : [1, 2, 3];
  const firstHttpPort = freePorts(HOSTILE_MEMBER);
  await using cluster = await TestCluster.start({
    nodes: options.nodes === 1 ? 1 : HOSTILE_MEMBER,
    started,
    flags: FLAGS,
    flagsOf: (id) => [
      "--http",
      `${firstHttpPort + id - 1}`,
      ...options.hasSecret ? ["--peer-secret-file", SECRET_FILE] : [],
    ],
    prepare: async ({ folder }) => {
      await Deno.writeTextFile(`${folder.path}/${SECRET_FILE}`, SECRET, { mode: 0o600 });
      return null;
    },
  });
  return await new RealRun(cluster, { ...options, started, firstHttpPort }).run();
}

class RealRun {
  readonly #cluster: TestCluster;
  readonly #started: readonly number[];
  readonly #options: ProcessesOptions;
  readonly #httpPorts: readonly number[];
  readonly #http: HttpSpeaker;
  readonly #clock = new SystemClock();
  readonly #network = new DenoNetwork();
  readonly #frames = new Map<FrameKindName, number>();
  readonly #problems: string[] = [];
  readonly #ended = new Set<number>();
  #termsChanged = 0;
  #term = 0;
  #lastIndex = 0;
  #clusterId = "";
  #hasEnded = false;
  #ownPauseMs = 0;

  constructor(
    cluster: TestCluster,
    options: ProcessesOptions & { readonly started: readonly number[]; readonly firstHttpPort: number },
  ) {
    const { started, firstHttpPort, seed } = options;
    this.#cluster = cluster;
    this.#started = started;
    this.#options = options;
    this.#httpPorts = started.map((id) => firstHttpPort + id - 1);
    this.#http = new HttpSpeaker({
      clock: this.#clock,
      ports: this.#httpPorts,
      random: new SeededRandom(seed + 1),
    });
  }

  async run(): Promise<ProcessesReport> {
    const cluster = this.#started.map((id) => this.#cluster.address(id));
    const witness = new Witness({
      cluster,
      clock: this.#clock,
      callTimeoutMs: CALL_TIMEOUT_MS,
      platform: null,
    });
    const leader = await this.#cluster.waitForLeader(this.#started);
    await witness.prepare();
    this.#term = (await this.#cluster.status(leader))?.term ?? 0;
    this.#clusterId = await this.#askClusterId(leader);
    const random = new SeededRandom(this.#options.seed);
    const listener = this.#startMember(random);
    const watching = this.#watch(witness);
    const goesOn = (): boolean => !this.#hasEnded && this.#problems.length === 0;
    await Promise.all([
      witness.run(goesOn),
      ...Array.from({ length: SPEAKERS }, () => this.#speaker(random.below(2 ** 31)).run(goesOn)),
      ...HAS_MANY_LOOPBACK_ADDRESSES ? [this.#http.run(goesOn), this.#watchHttp(goesOn)] : [],
      watching,
      this.#watchSelf(goesOn),
    ]);
    listener?.close();
    const [failure] = witness.failures;
    if (failure !== undefined) this.#problems.push(`another client's call failed: ${failure}`);
    if (this.#problems.length === 0) await this.#restart();
    if (this.#problems.length > 0) this.#options.tell(this.#cluster.logs());
    return this.#report(witness);
  }

  #report(witness: Witness): ProcessesReport {
    return {
      frames: this.#frames,
      nodesEnded: this.#ended.size,
      termsChanged: this.#termsChanged,
      longestWaitMs: witness.longestWaitMs,
      ownPauseMs: this.#ownPauseMs,
      calls: witness.calls,
      httpRequests: this.#http.requests,
      problems: this.#problems,
    };
  }

  /** Checks every node until the time is over or a violation is found. */
  async #watch(witness: Witness): Promise<void> {
    const begin = this.#clock.now();
    let reportedMs = begin;
    while (this.#problems.length === 0 && this.#clock.now() - begin < this.#options.seconds * 1_000) {
      await new Promise<void>((resolve) => void this.#clock.after(LOOK_MS, resolve));
      for (const id of this.#started) await this.#look(id);
      const [failure] = witness.failures;
      if (failure !== undefined) break;
      if (this.#clock.now() - reportedMs < TELL_MS) continue;
      reportedMs = this.#clock.now();
      this.#options.tell(reportText(this.#report(witness), (reportedMs - begin) / 1_000));
    }
    this.#hasEnded = true;
  }

  /** Checks that the nodes answer other programs on their HTTP ports. */
  async #watchHttp(goesOn: () => boolean): Promise<void> {
    while (goesOn()) {
      for (const port of this.#httpPorts) {
        const answer = await fetch(`http://127.0.0.1:${port}/live`).catch((error: unknown) => `${error}`);
        const found = typeof answer === "string" ? answer : `${answer.status} ${await answer.text()}`;
        if (found !== "200 live\n") this.#problems.push(`the HTTP port ${port} answered ${found}`);
      }
      await new Promise<void>((resolve) => void this.#clock.after(OWN_LOOK_MS, resolve));
    }
  }

  async #watchSelf(goesOn: () => boolean): Promise<void> {
    while (goesOn()) {
      const dueMs = this.#clock.now() + OWN_LOOK_MS;
      await new Promise<void>((resolve) => void this.#clock.after(OWN_LOOK_MS, resolve));
      this.#ownPauseMs = Math.max(this.#ownPauseMs, this.#clock.now() - dueMs);
    }
  }

  async #look(id: number): Promise<void> {
    if (this.#cluster.hasEnded(id)) {
      this.#ended.add(id);
      this.#problems.push(`node ${id} has ended`);
      return;
    }
    const status = await this.#cluster.status(id);
    if (status === null) return;
    this.#lastIndex = Math.max(this.#lastIndex, status.lastLogIndex);
    if (status.term === this.#term) return;
    this.#termsChanged += 1;
    this.#problems.push(`node ${id} came from term ${this.#term} to ${status.term}`);
  }

  /** Restarts the nodes: data from hostile frames on disk must not prevent that. */
  async #restart(): Promise<void> {
    for (const id of this.#started) await this.#cluster.kill(id);
    await this.#cluster.startNodes(this.#started);
    await this.#cluster.waitForLeader(this.#started);
  }

  async #askClusterId(id: number): Promise<string> {
    using wire = await Wire.connect(this.#cluster.port(id));
    await wire.send(frame(clientHello()));
    const { elements: [, , clusterId] } = await wire.take([FRAME_KIND.welcome]);
    return `${clusterId}`;
  }

  #startMember(random: SeededRandom): Listener | null {
    if (!this.#cluster.ids.includes(HOSTILE_MEMBER)) return null;
    return listenAsMember({
      network: this.#network,
      clock: this.#clock,
      random,
      address: parseAddress(this.#cluster.address(HOSTILE_MEMBER)),
      knowledge: () => this.#knowledge(random.pick(this.#started), random),
      onFrame: (kind) => this.#sent(kind),
    });
  }

  #speaker(seed: number): Speaker {
    const random = new SeededRandom(seed);
    return new Speaker({
      network: this.#network,
      clock: this.#clock,
      random,
      knowledge: (to) => this.#knowledge(to, random),
      addressOf: (node) => parseAddress(this.#cluster.address(node)),
      targets: this.#started,
      guises: this.#cluster.ids.includes(HOSTILE_MEMBER) ? ["client", "peer"] : ["client"],
      onFrame: (kind) => this.#sent(kind),
    });
  }

  #sent(kind: FrameKindName): void {
    this.#frames.set(kind, (this.#frames.get(kind) ?? 0) + 1);
  }

  #knowledge(to: number, random: SeededRandom): Knowledge {
    const isMember = this.#cluster.ids.includes(HOSTILE_MEMBER);
    return {
      random,
      claims: "none",
      clusterId: this.#clusterId,
      peerKeyIds: this.#options.hasSecret ? [peerKeyOf(SECRET, this.#clusterId).id] : [],
      members: this.#cluster.ids,
      self: HOSTILE_MEMBER,
      address: isMember ? this.#cluster.address(HOSTILE_MEMBER) : "127.0.0.1:1",
      to,
      term: this.#term,
      lastIndex: this.#lastIndex,
    };
  }
}

/** Returns a line about a run: frames by kind, and counts that must be 0. */
export function reportText(report: ProcessesReport, afterSeconds: number): string {
  const { frames, nodesEnded, termsChanged, longestWaitMs, ownPauseMs, calls, httpRequests } = report;
  const sum = [...frames.values()].reduce((total, count) => total + count, 0);
  const byKind = ALL_KINDS.map((kind) => `${kind} ${frames.get(kind) ?? 0}`).join(", ");
  const memoryMiB = Math.round(Deno.memoryUsage().rss / 2 ** 20);
  return `after ${
    Math.round(afterSeconds)
  } s: ${sum} hostile frames, ${httpRequests} hostile HTTP requests, nodes ended ${nodesEnded}, ` +
    `terms changed ${termsChanged}, longest wait of another client ${
      Math.round(longestWaitMs)
    } ms in ${calls} calls ` +
    `(this process paused for ${Math.round(ownPauseMs)} ms at most and has ${memoryMiB} MiB); ${byKind}`;
}
