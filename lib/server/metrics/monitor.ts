/**
 * What a node says of itself over HTTP: `/metrics`, `/live`, `/ready`, `/status`, and a page that leads there.
 *
 * It listens before anything else of a node is opened, and is closed last: a node that reads its log back, waits to be
 * let in, or stops can say so. It only ever reads; no key and no value is in what it says.
 */
import type { Clock, Timer } from "../../platform/clock.ts";
import type { NodeStatus } from "../../protocol/messages.ts";
import { formatAddress } from "../../platform/address.ts";
import type { Address, HttpNetwork, HttpRequest, HttpResponse, HttpServer } from "../../platform/network.ts";
import type { Logger } from "../../platform/logger.ts";
import type { PeerConnectionView } from "../../transport/peers.ts";
import type { NodeId } from "../../raft/mod.ts";
import { type DoublingHistogram, Metrics } from "./metrics.ts";
import type { MetricSources, Resources } from "./metric.ts";
import { METRICS_CONTENT_TYPE, renderMetrics } from "./metrics_text.ts";
import type { Readiness, Unready } from "./readiness.ts";

const TEXT = "text/plain; charset=utf-8";
const JSON_TYPE = "application/json; charset=utf-8";
const HTML = "text/html; charset=utf-8";

/** What a monitor takes from the machine. */
export interface MonitoringPlatform {
  readonly http: HttpNetwork;
  /** What the process uses just now. */
  readonly resources: () => Resources;
}

/** What a monitor is made from. */
export interface MonitorOptions extends MonitoringPlatform {
  readonly nodeId: NodeId;
  readonly address: Address;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A node that serves. */
export interface Observed {
  readonly readiness: Readiness;
  /** What metrics are read from, but for what the monitor has itself. */
  readonly sources: () => Omit<MetricSources, "metrics" | "resources" | "uptimeMs">;
}

/** Shows one node. */
export class Monitor {
  /** What the node counts. */
  readonly metrics: Metrics;
  readonly #options: MonitorOptions;
  readonly #loopDelay: LoopDelay;
  readonly #server: HttpServer;
  /** The node once it serves; before and after that, why it does not. */
  #state: Observed | Unready = { reason: "starting", message: "This node is starting." };

  /** Begins to listen; throws NetworkError when that can't be. */
  constructor(options: MonitorOptions) {
    const { http, address, clock, logger } = options;
    this.#options = options;
    this.#server = http.serve(address, (request) => this.answer(request));
    this.metrics = new Metrics(clock);
    this.#loopDelay = new LoopDelay(clock, this.metrics.loopMicros);
    logger.info("metrics and health over HTTP", { address: formatAddress(this.#server.address) });
  }

  /** The node serves, or why it does not. */
  show(state: Observed | Unready): void {
    this.#state = state;
  }

  /** Ends it. */
  async close(): Promise<void> {
    this.#loopDelay.stop();
    await this.#server.close();
  }

  /** Answers one request. */
  async answer({ method, path }: HttpRequest): Promise<HttpResponse> {
    if (method !== "GET" && method !== "HEAD") {
      const body = "This page is only for reading: GET or HEAD.\n";
      return { status: 405, contentType: TEXT, body, headers: { allow: "GET, HEAD" } };
    }
    switch (path) {
      case "/live":
        return { status: 200, contentType: TEXT, body: "live\n" };
      case "/ready":
        return await this.#ready();
      case "/metrics":
        return this.#whenServing((observed) => ({
          status: 200,
          contentType: METRICS_CONTENT_TYPE,
          body: renderMetrics(this.#sourcesOf(observed)),
        }));
      case "/status":
        return this.#whenServing((observed) => ({
          status: 200,
          contentType: JSON_TYPE,
          body: `${JSON.stringify(statusDocument(observed.sources()), null, 2)}\n`,
        }));
      case "/":
        return { status: 200, contentType: HTML, body: page(this.#options.nodeId) };
      default:
        return {
          status: 404,
          contentType: TEXT,
          body: "There is no such page. There are /metrics, /live, /ready and /status.\n",
        };
    }
  }

  async #ready(): Promise<HttpResponse> {
    const state = this.#state;
    const reasons = "reason" in state ? [state] : await state.readiness.check();
    if (reasons.length === 0) return { status: 200, contentType: TEXT, body: "ready\n" };
    return { status: 503, contentType: TEXT, body: linesOf(reasons) };
  }

  #whenServing(answer: (observed: Observed) => HttpResponse): HttpResponse {
    const state = this.#state;
    return "reason" in state ? { status: 503, contentType: TEXT, body: linesOf([state]) } : answer(state);
  }

  #sourcesOf({ sources }: Observed): MetricSources {
    const { resources, clock } = this.#options;
    return { ...sources(), metrics: this.metrics, resources: resources(), uptimeMs: clock.now() };
  }
}

/** `noLeader: This node knows of no leader.`, a line each. */
function linesOf(reasons: readonly Unready[]): string {
  return reasons.map(({ reason, message }) => `${reason}: ${message}\n`).join("");
}

/** What `client status` and `client members` show, as this one node sees it. */
function statusDocument(
  { clusterId, status, links }: {
    readonly clusterId: string;
    readonly status: NodeStatus;
    readonly links: readonly PeerConnectionView[];
  },
): unknown {
  const { members, peers, ...node } = status;
  return {
    cluster: clusterId,
    ...node,
    members: members.map((member) => {
      const link = links.find(({ id }) => id === member.id);
      const peer = peers.find(({ id }) => id === member.id);
      return {
        ...member,
        connected: member.id === node.id || (link?.isConnected ?? false),
        roundTripMs: link?.roundTripMs ?? null,
        matchIndex: peer?.matchIndex ?? null,
        lag: peer === undefined ? null : Math.max(0, node.lastLogIndex - peer.matchIndex),
        lastContactMs: peer?.lastContactMs ?? null,
      };
    }),
  };
}

function page(nodeId: NodeId): string {
  const links = [
    ["/metrics", "what it counts and measures, for Prometheus"],
    ["/status", "how it sees itself and the cluster, as JSON"],
    ["/ready", "whether it can serve clients now, and if not, why"],
    ["/live", "whether the process answers"],
  ].map(([path, what]) => `<li><a href="${path}">${path}</a>: ${what}</li>`).join("\n");
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>kvraft node ${nodeId}</title>
<h1>kvraft node ${nodeId}</h1>
<ul>
${links}
</ul>
</html>
`;
}

/** How often it looks. */
const INTERVAL_MS = 100;

/** Counts by how many microseconds a timer came late, again and again. */
export class LoopDelay {
  readonly #clock: Clock;
  readonly #micros: DoublingHistogram;
  #timer: Timer;

  /** Begins to look. */
  constructor(clock: Clock, micros: DoublingHistogram) {
    this.#clock = clock;
    this.#micros = micros;
    this.#timer = this.#watch();
  }

  /** Ends it. */
  stop(): void {
    this.#timer.cancel();
  }

  #watch(): Timer {
    const dueMs = this.#clock.now() + INTERVAL_MS;
    return this.#clock.after(INTERVAL_MS, () => {
      const lateMs = Math.max(0, this.#clock.now() - dueMs);
      this.#micros.record(Math.round(lateMs * 1_000));
      this.#timer = this.#watch();
    });
  }
}
