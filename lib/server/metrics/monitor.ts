/**
 * The HTTP pages of a node: `/metrics`, `/live`, `/ready`, `/status`, and the status page with its events.
 *
 * The monitor is opened first and closed last, so that it can also report a node that reads its log, joins, or stops. It
 * only reads, and no page contains a key or a value. `/live`, `/ready` and `/metrics` are for supervisors and Prometheus, and
 * ask for no user; the others do while authentication is enabled.
 */
import type { Clock } from "../../platform/clock.ts";
import { formatAddress } from "../../platform/address.ts";
import type { Address, HttpNetwork, HttpRequest, HttpResponse, HttpServer } from "../../platform/network.ts";
import type { FrontEndCounts } from "../../denokv/front_end.ts";
import type { EtcdCounts } from "../../etcd/counts.ts";
import type { Logger } from "../../platform/logger.ts";
import type { NodeId } from "../../raft/mod.ts";
import { Metrics } from "./metrics.ts";
import type { MetricSources, Resources } from "./metric.ts";
import { METRICS_CONTENT_TYPE, renderMetrics } from "./metrics_text.ts";
import { document, type PageSource, StatusPage } from "../status_page/status_page.ts";
import type { Readiness, Unready } from "./readiness.ts";

const TEXT = "text/plain; charset=utf-8";
const JSON_TYPE = "application/json; charset=utf-8";
/** The pages that show the cluster. */
const CLUSTER_PAGES = ["/", "/status", "/status/events", "/status/cluster.json"];

/** The platform of a monitor. */
export interface MonitoringPlatform {
  readonly http: HttpNetwork;
  /** Returns the resources that the process uses. */
  readonly resources: () => Resources;
}

/** The dependencies of a monitor. */
export interface MonitorOptions extends MonitoringPlatform {
  readonly nodeId: NodeId;
  readonly address: Address;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A running node. */
export interface Observed {
  readonly readiness: Readiness;
  /** Returns the sources of metrics, except those of the monitor itself. */
  readonly sources: () => Omit<MetricSources, "metrics" | "resources" | "uptimeMs">;
  /** The source of the status page. */
  readonly page: PageSource;
}

/** The monitor of one node. */
export class Monitor {
  /** The counters of the node. */
  readonly metrics: Metrics;
  readonly #options: MonitorOptions;
  readonly #server: HttpServer;
  /** The node while it runs; else the reason why it does not. */
  #state: Observed | Unready = { reason: "starting", message: "This node is starting." };
  /** The status page of the running node. */
  #page: StatusPage | null = null;

  /** Begins to listen; throws NetworkError where the address cannot be used. */
  constructor(options: MonitorOptions) {
    const { http, address, clock, logger } = options;
    this.#options = options;
    this.#server = http.serve(address, (request) => this.answer(request));
    this.metrics = new Metrics(clock);
    logger.info("metrics and health over HTTP", { address: formatAddress(this.#server.address) });
  }

  /** Shows a running node, or the reason why it does not run. */
  show(state: Observed | Unready): void {
    this.#state = state;
    this.#page?.close();
    this.#page = "reason" in state ? null : new StatusPage(state.page, this.#options);
  }

  /** Has those who watch the status page see soon that the cluster has changed. */
  clusterChanged(): void {
    this.#page?.changed();
  }

  /** Stops. */
  async close(): Promise<void> {
    this.#page?.close();
    await this.#server.close();
  }

  /** Answers a request. */
  async answer(request: HttpRequest): Promise<HttpResponse> {
    const { method, path } = request;
    if (method !== "GET" && method !== "HEAD") {
      const body = "This page supports GET and HEAD only.\n";
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
      default:
        return (CLUSTER_PAGES.includes(path) ? await this.#clusterPage(request) : null) ?? {
          status: 404,
          contentType: TEXT,
          body: "There is no such page. There are /, /metrics, /live, /ready, /status, /status/events and " +
            "/status/cluster.json.\n",
        };
    }
  }

  async #clusterPage(request: HttpRequest): Promise<HttpResponse | null> {
    const page = this.#page;
    // The document itself shows that the node does not run, and its script asks again.
    if (page === null && request.path === "/") return document();
    if (page !== null) {
      const visitor = await page.admit(request);
      if ("status" in visitor) return visitor;
      if (request.path !== "/status") return await page.answer(request.path, visitor);
    }
    return this.#whenServing((observed) => ({
      status: 200,
      contentType: JSON_TYPE,
      body: `${JSON.stringify(statusDocument(observed.sources()), null, 2)}\n`,
    }));
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

/** Returns lines such as `noLeader: This node knows of no leader.` */
function linesOf(reasons: readonly Unready[]): string {
  return reasons.map(({ reason, message }) => `${reason}: ${message}\n`).join("");
}

/** Returns the values of `client status` and `client members`, and the history, as this node sees them. */
function statusDocument(
  { clusterId, status, condition, links, denokv, etcd }: Pick<
    MetricSources,
    "clusterId" | "status" | "condition" | "links" | "denokv" | "etcd"
  >,
): unknown {
  const { members, peers, links: _, ...node } = status;
  const { historyBytes, compactedRevision } = condition;
  return {
    cluster: clusterId,
    ...node,
    historyBytes,
    compactedRevision,
    members: members.map((member) => {
      const link = links.find(({ id }) => id === member.id);
      const peer = peers.find(({ id }) => id === member.id);
      return {
        ...member,
        connected: member.id === node.id || (link?.isConnected ?? false),
        roundTripMs: toMicroseconds(link?.roundTripMs ?? null),
        authenticatedBy: link?.authenticatedBy ?? null,
        matchIndex: peer?.matchIndex ?? null,
        lag: peer === undefined ? null : Math.max(0, node.lastLogIndex - peer.matchIndex),
        lastContactMs: peer?.lastContactMs ?? null,
      };
    }),
    denokv: denokv === null ? null : denokvStatus(denokv),
    etcd: etcd === null ? null : etcdStatus(etcd),
  };
}

/** Returns the numbers of `--denokv`, by database. */
function denokvStatus({ web, requests, repeatedWrites, watches }: FrontEndCounts): unknown {
  const names = new Set([...requests, ...watches].map(({ database }) => database));
  const databases = [...names].sort().map((name) => {
    const answered = requests.filter(({ database }) => database === name).flatMap((
      { byStatus },
    ) => [...byStatus]);
    return {
      name,
      requests: answered.reduce((sum, [, count]) => sum + count, 0),
      failed: answered.reduce((sum, [status, count]) => status < 400 ? sum : sum + count, 0),
      repeatedWrites: repeatedWrites.get(name) ?? 0,
      watches: watches.find(({ database }) => database === name)?.watches ?? 0,
    };
  });
  return { connections: web.connections, databases };
}

/** Returns the numbers of `--etcd`, over all methods. */
function etcdStatus({ web, requests, streams }: EtcdCounts): unknown {
  const answered = requests.flatMap(({ byStatus }) => [...byStatus]);
  return {
    connections: web.connections,
    streams,
    requests: answered.reduce((sum, [, count]) => sum + count, 0),
    failed: answered.reduce((sum, [status, count]) => status === 0 ? sum : sum + count, 0),
  };
}

/** Rounds a duration to microseconds: more digits of it have no meaning. */
function toMicroseconds(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms * 1_000) / 1_000;
}
