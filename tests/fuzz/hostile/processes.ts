/**
 * Hostile programs against real `kvraft server` processes on loopback: one alone, or three of a cluster of four whose
 * fourth member is hostile (the three are a majority, of which each is needed, and the hostile member does not
 * impersonate another).
 *
 * The load of the machine causes waits here too, so waits are only reported; a failed call is an error of the nodes.
 */
import { type ConnectOptions, KvClient } from "../../../lib/mod.ts";
import { parseAddress } from "../../../lib/platform/address.ts";
import { DenoNetwork } from "../../../lib/platform/deno_network.ts";
import { SystemClock } from "../../../lib/platform/system.ts";
import type { Listener } from "../../../lib/platform/network.ts";
import { peerKeyOf } from "../../../lib/transport/handshake/peer_secret.ts";
import { TestCluster } from "../../support/processes/cluster.ts";
import { SeededRandom } from "../../support/seeded_random.ts";
import { freePorts } from "../../support/temporary.ts";
import { HAS_MANY_LOOPBACK_ADDRESSES } from "../../support/processes/source_address.ts";
import { ALL_KINDS, type FrameKindName, type Knowledge } from "./frames.ts";
import { HttpSpeaker } from "./http_speaker.ts";
import { listenAsMember } from "./member.ts";
import { Speaker, type SpeakerUser } from "./speaker.ts";
import { HandshakeSpeaker, HostileTls } from "./tls.ts";
import { HostileUsers } from "./users.ts";
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
/** Long enough that a busy machine causes no election among three nodes. */
const ELECTION_TIMEOUT_MS = 5_000;
/** Where an election does no harm: of a node alone, and when the hostile programs have ended. */
const SHORT_ELECTION_TIMEOUT_MS = 500;
/** Nodes log little, since their output is kept in memory. */
const FLAGS = ["--log-level", "error"];

const SECRET_FILE = "peer.secret";
const SECRET = "a-secret-that-hostile-programs-do-not-know";

/** Options of a run. */
export interface ProcessesOptions {
  readonly nodes: 1 | 3;
  /** Whether the nodes have a peer secret, which the hostile programs do not know. */
  readonly hasSecret: boolean;
  /** Whether clients must sign in. The nodes have a peer secret then, or TLS: without either, any program is a node. */
  readonly hasUsers: boolean;
  /** Whether the ports use TLS. */
  readonly hasTls: boolean;
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
  /** Handshakes of TLS that do not end. */
  readonly handshakes: number;
  /** Longest time for which this process was too busy to handle an answer: that part of a wait is its own. */
  readonly ownPauseMs: number;
  readonly calls: number;
  /** Violations; the first counts. */
  readonly problems: readonly string[];
}

/** Starts nodes, disturbs them for the given time, and restarts them at the end. */
export async function runAgainstProcesses(given: ProcessesOptions): Promise<ProcessesReport> {
  const options = { ...given, hasSecret: given.hasSecret || given.hasUsers && !given.hasTls };
  const started = options.nodes === 1 ? [1] : [1, 2, 3];
  const firstHttpPort = freePorts(HOSTILE_MEMBER);
  const tls = options.hasTls ? new HostileTls() : null;
  let electionTimeoutMs = options.nodes === 1 ? SHORT_ELECTION_TIMEOUT_MS : ELECTION_TIMEOUT_MS;
  await using cluster = await TestCluster.start({
    nodes: options.nodes === 1 ? 1 : HOSTILE_MEMBER,
    // Users need the feature level that all members have: the hostile member is a correct one until they exist.
    ...options.hasUsers ? {} : { started },
    flags: FLAGS,
    flagsOf: (id) => [
      "--election-timeout-ms",
      `${electionTimeoutMs}`,
      "--http",
      `${firstHttpPort + id - 1}`,
      ...options.hasSecret ? ["--peer-secret-file", SECRET_FILE] : [],
      ...tls?.flags(options.seed % 2 === 0 ? "optional" : "required") ?? [],
    ],
    prepare: async ({ folder }) => {
      await Deno.writeTextFile(`${folder.path}/${SECRET_FILE}`, SECRET, { mode: 0o600 });
      await tls?.writeFiles(folder.path);
      return null;
    },
  });
  const access = tls === null ? {} : { tls: tls.access };
  let users: HostileUsers | null = null;
  if (options.hasUsers) {
    await using client = await KvClient.connect({
      ...access,
      cluster: cluster.ids.map((id) => cluster.address(id)),
      timeoutMs: CALL_TIMEOUT_MS,
    });
    users = await HostileUsers.add(client);
    if (options.nodes === 3) await cluster.kill(HOSTILE_MEMBER);
  }
  const onRestart = (): void => void (electionTimeoutMs = SHORT_ELECTION_TIMEOUT_MS);
  return await new RealRun(cluster, { ...options, started, firstHttpPort, tls, access, users, onRestart })
    .run();
}

/** A started cluster with the options of its run. */
interface Scene extends ProcessesOptions {
  readonly started: readonly number[];
  readonly firstHttpPort: number;
  readonly tls: HostileTls | null;
  readonly users: HostileUsers | null;
  /** With what correct clients connect, besides a token. */
  readonly access: Pick<ConnectOptions, "tls">;
  /** Called before the nodes are restarted. */
  readonly onRestart: () => void;
}

class RealRun {
  readonly #cluster: TestCluster;
  readonly #scene: Scene;
  readonly #httpPorts: readonly number[];
  readonly #http: HttpSpeaker;
  readonly #handshakes: HandshakeSpeaker;
  readonly #clock = new SystemClock();
  readonly #network = new DenoNetwork();
  readonly #frames = new Map<FrameKindName, number>();
  readonly #problems: string[] = [];
  readonly #ended = new Set<number>();
  readonly #access: Pick<ConnectOptions, "tls" | "token">;
  #termsChanged = 0;
  #term = 0;
  #lastIndex = 0;
  #clusterId = "";
  #hasEnded = false;
  #ownPauseMs = 0;

  constructor(cluster: TestCluster, scene: Scene) {
    const { started, firstHttpPort, seed, users, access } = scene;
    this.#cluster = cluster;
    this.#scene = scene;
    this.#httpPorts = started.map((id) => firstHttpPort + id - 1);
    this.#access = users === null ? access : { ...access, token: users.tokenOf("root") };
    const clock = this.#clock;
    this.#http = new HttpSpeaker({ clock, ports: this.#httpPorts, random: new SeededRandom(seed + 1) });
    const ports = [...started.map((id) => cluster.port(id)), ...this.#httpPorts];
    this.#handshakes = new HandshakeSpeaker({ clock, ports, random: new SeededRandom(seed + 2) });
  }

  async run(): Promise<ProcessesReport> {
    const { seed, users, hasTls } = this.#scene;
    const witness = new Witness({
      cluster: this.#addresses,
      access: this.#access,
      clock: this.#clock,
      callTimeoutMs: CALL_TIMEOUT_MS,
      platform: null,
    });
    await witness.prepare();
    await using monitor = await this.#connect();
    this.#term = (await monitor.cluster.status()).term;
    [, this.#clusterId = ""] = /\(cluster ([0-9a-f]+),/.exec(this.#cluster.logs()) ?? [];
    await users?.begin(monitor);
    const random = new SeededRandom(seed);
    const listener = this.#startMember(random);
    const goesOn = (): boolean => !this.#hasEnded && this.#problems.length === 0;
    const identities = users?.limited ?? Array.from({ length: SPEAKERS }, () => undefined);
    await Promise.all([
      witness.run(goesOn),
      ...identities.map((user) => this.#speaker(random.below(2 ** 31), user).run(goesOn)),
      ...HAS_MANY_LOOPBACK_ADDRESSES ? [this.#http.run(goesOn), this.#watchHttp(goesOn)] : [],
      ...HAS_MANY_LOOPBACK_ADDRESSES && hasTls ? [this.#handshakes.run(goesOn)] : [],
      this.#watch(witness, monitor).then(() => void (this.#hasEnded = true)),
      this.#watchUsers(monitor, goesOn).catch((error: unknown) => {
        this.#problems.push(`users could not be checked: ${error}`);
      }),
      this.#watchSelf(goesOn),
    ]);
    listener?.close();
    const [failure] = witness.failures;
    // A call for whose answer this process was too busy itself says nothing of the nodes.
    if (failure !== undefined && this.#ownPauseMs < CALL_TIMEOUT_MS / 2) {
      this.#problems.push(`another client's call failed: ${failure}`);
    }
    if (this.#problems.length === 0) await this.#restart();
    if (this.#problems.length > 0) this.#scene.tell(this.#cluster.logs());
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
      handshakes: this.#handshakes.handshakes,
      problems: this.#problems,
    };
  }

  /** Checks every node until the time is over or a violation is found. */
  async #watch(witness: Witness, monitor: KvClient): Promise<void> {
    const begin = this.#clock.now();
    let reportedMs = begin;
    while (this.#problems.length === 0 && this.#clock.now() - begin < this.#scene.seconds * 1_000) {
      await new Promise<void>((resolve) => void this.#clock.after(LOOK_MS, resolve));
      await this.#look(monitor);
      const [failure] = witness.failures;
      if (failure !== undefined) break;
      if (this.#clock.now() - reportedMs < TELL_MS) continue;
      reportedMs = this.#clock.now();
      this.#scene.tell(reportText(this.#report(witness), (reportedMs - begin) / 1_000));
    }
  }

  /** Compares the state after half of the time, and lets an operator disturb the nodes, too, in the other half. */
  async #watchUsers(root: KvClient, goesOn: () => boolean): Promise<void> {
    const { users, seconds, seed } = this.#scene;
    if (users === null) return;
    const half = this.#clock.now() + seconds * 500;
    const isHalf = (): boolean => this.#clock.now() >= half;
    while (goesOn() && !isHalf()) {
      await new Promise<void>((resolve) => void this.#clock.after(OWN_LOOK_MS, resolve));
      this.#problems.push(...users.problems);
    }
    await users.check(root);
    await this.#speaker(seed + 3, users.operator).run(goesOn);
    await users.checkUsers(root);
    this.#problems.push(...users.problems);
  }

  /** Checks that the nodes answer other programs on their HTTP ports. */
  async #watchHttp(goesOn: () => boolean): Promise<void> {
    while (goesOn()) {
      for (const port of this.#httpPorts) {
        const fetchLive = (): Promise<Response> => this.#fetchLive(port);
        // A handshake for which this process was too busy itself is no failure of the node.
        const answer = await fetchLive().catch(fetchLive).catch(fetchLive)
          .catch((error: Error) => `${error}: ${error.cause}`);
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

  /** Fetches the page that says whether a node runs. */
  async #fetchLive(port: number): Promise<Response> {
    const { tls } = this.#access;
    if (tls === undefined) return await fetch(`http://127.0.0.1:${port}/live`);
    const { ca, cert = "", key = "" } = typeof tls === "function" ? tls() : tls;
    using client = Deno.createHttpClient({ caCerts: [`${ca}`], cert: `${cert}`, key: `${key}` });
    const answer = await fetch(`https://127.0.0.1:${port}/live`, { client });
    return new Response(await answer.text(), { status: answer.status });
  }

  async #look(monitor: KvClient): Promise<void> {
    for (const id of this.#scene.started) {
      if (!this.#cluster.hasEnded(id)) continue;
      this.#ended.add(id);
      this.#problems.push(`node ${id} has ended`);
    }
    const { nodes } = await monitor.cluster.status();
    for (const node of nodes) {
      if (!node.reachable) continue;
      this.#lastIndex = Math.max(this.#lastIndex, node.lastLogIndex);
      if (node.term === this.#term) continue;
      this.#termsChanged += 1;
      this.#problems.push(`node ${node.id} came from term ${this.#term} to ${node.term}`);
    }
  }

  /** Restarts the nodes: data from hostile frames on disk must not prevent that. */
  async #restart(): Promise<void> {
    const { started, onRestart } = this.#scene;
    onRestart();
    for (const id of started) await this.#cluster.kill(id);
    await this.#cluster.startNodes(started);
    await using client = await this.#connect();
    await client.put("witness", "after a restart", { timeoutMs: CALL_TIMEOUT_MS });
  }

  get #addresses(): readonly string[] {
    return this.#scene.started.map((id) => this.#cluster.address(id));
  }

  async #connect(): Promise<KvClient> {
    return await KvClient.connect({
      ...this.#access,
      cluster: this.#addresses,
      timeoutMs: CALL_TIMEOUT_MS,
    });
  }

  #startMember(random: SeededRandom): Listener | null {
    if (!this.#cluster.ids.includes(HOSTILE_MEMBER)) return null;
    return listenAsMember({
      network: this.#network,
      clock: this.#clock,
      random,
      address: parseAddress(this.#cluster.address(HOSTILE_MEMBER)),
      knowledge: () => this.#knowledge(random.pick(this.#scene.started), random),
      onFrame: (kind) => this.#sent(kind),
    });
  }

  #speaker(seed: number, user?: SpeakerUser): Speaker {
    const random = new SeededRandom(seed);
    return new Speaker({
      network: this.#scene.tls?.dialer(random) ?? this.#network,
      ...user === undefined ? {} : { user },
      clock: this.#clock,
      random,
      knowledge: (to) => this.#knowledge(to, random),
      addressOf: (node) => parseAddress(this.#cluster.address(node)),
      targets: this.#scene.started,
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
      peerKeyIds: this.#scene.hasSecret ? [peerKeyOf(SECRET, this.#clusterId).id] : [],
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
  const { frames, nodesEnded, termsChanged, longestWaitMs, ownPauseMs, calls, httpRequests, handshakes } =
    report;
  const sum = [...frames.values()].reduce((total, count) => total + count, 0);
  const byKind = ALL_KINDS.map((kind) => `${kind} ${frames.get(kind) ?? 0}`).join(", ");
  const memoryMiB = Math.round(Deno.memoryUsage().rss / 2 ** 20);
  return `after ${
    Math.round(afterSeconds)
  } s: ${sum} hostile frames, ${httpRequests} hostile HTTP requests, ${handshakes} handshakes without an end, nodes ended ${nodesEnded}, ` +
    `terms changed ${termsChanged}, longest wait of another client ${
      Math.round(longestWaitMs)
    } ms in ${calls} calls ` +
    `(this process paused for ${Math.round(ownPauseMs)} ms at most and has ${memoryMiB} MiB); ${byKind}`;
}
