/** The metrics of `--etcd`, by method. */
import type { EtcdCounts } from "../../etcd/counts.ts";
import { counter, gauge, type Metric, type Sample, sample } from "./metric.ts";

/** In the order in which they are shown. Without `--etcd` there are none. */
export const ETCD: readonly Metric[] = [
  counter("kvraft_etcd_requests_total", {
    unit: "requests",
    labels: ["service", "method", "status"],
    help:
      "With `--etcd`: answered requests by their status of gRPC (0: success). A stream counts when it ends.",
    measured: "lib/etcd/counts.ts",
    read: served(({ requests }) =>
      requests.flatMap(({ service, method, byStatus }) =>
        [...byStatus].map(([status, count]) => sample({ service, method, status }, count))
      )
    ),
  }),
  gauge("kvraft_etcd_streams", {
    unit: "streams",
    help: "With `--etcd`: open streams: of watches, of leases that are kept alive, and of observers.",
    measured: "lib/etcd/counts.ts",
    read: served(({ streams }) => [sample({}, streams)]),
  }),
  gauge("kvraft_etcd_connections", {
    unit: "connections",
    help: "With `--etcd`: open connections, of gRPC and of HTTP.",
    measured: "lib/web/server.ts",
    read: served(({ web }) => [sample({}, web.connections)]),
  }),
  counter("kvraft_etcd_connections_refused_total", {
    unit: "connections",
    help: "With `--etcd`: connections closed because a limit was reached or the client broke the protocol.",
    measured: "lib/web/server.ts",
    read: served(({ web }) => [sample({}, web.refused)]),
  }),
];

/** Returns a reader of metrics that there are with `--etcd` only. */
function served(
  read: (counts: EtcdCounts) => readonly Sample[],
): (sources: { readonly etcd: EtcdCounts | null }) => readonly Sample[] {
  return ({ etcd }) => etcd === null ? [] : read(etcd);
}
