/** The metrics of `--denokv`, by database. */
import type { FrontEndCounts } from "../../denokv/front_end.ts";
import { counter, gauge, type Metric, type Sample, sample, seconds } from "./metric.ts";

/** In the order in which they are shown. Without `--denokv` there are none. */
export const DENOKV: readonly Metric[] = [
  counter("kvraft_denokv_requests_total", {
    unit: "requests",
    labels: ["database", "request", "status"],
    help: "With `--denokv`: answered requests by their HTTP status. A watch counts when it ends. " +
      "Requests that name no database of the cluster have an empty one.",
    measured: "lib/denokv/service.ts",
    read: served(({ requests }) =>
      requests.flatMap(({ database, request, byStatus }) =>
        [...byStatus].map(([status, count]) => sample({ database, request, status }, count))
      )
    ),
  }),
  counter("kvraft_denokv_request_seconds_total", {
    unit: "seconds",
    labels: ["database", "request"],
    help: "With `--denokv`: time from the head of each request to its answer, in all.",
    measured: "lib/denokv/service.ts",
    read: served(({ requests }) =>
      requests.map(({ database, request, totalMs }) => sample({ database, request }, seconds(totalMs)))
    ),
  }),
  counter("kvraft_denokv_repeated_writes_total", {
    unit: "writes",
    labels: ["database"],
    help:
      "With `--denokv`: writes that a client sent again because their answer was lost, and that were not made again.",
    measured: "lib/denokv/undelivered_answers.ts",
    read: served(({ repeatedWrites }) =>
      [...repeatedWrites].map(([database, count]) => sample({ database }, count))
    ),
  }),
  gauge("kvraft_denokv_watches", {
    unit: "watches",
    labels: ["database"],
    help: "With `--denokv`: watches that are open.",
    measured: "lib/denokv/watch/watches.ts",
    read: served(({ watches }) => watches.map(({ database, watches }) => sample({ database }, watches))),
  }),
  counter("kvraft_denokv_watches_begun_total", {
    unit: "watches",
    labels: ["database"],
    help: "With `--denokv`: watches that were begun. A client begins a watch again each time that it breaks.",
    measured: "lib/denokv/watch/watches.ts",
    read: served(({ watches }) => watches.map(({ database, begun }) => sample({ database }, begun))),
  }),
  counter("kvraft_denokv_watch_frames_total", {
    unit: "frames",
    labels: ["database"],
    help: "With `--denokv`: frames sent to watches, those without content included.",
    measured: "lib/denokv/watch/watches.ts",
    read: served(({ watches }) => watches.map(({ database, frames }) => sample({ database }, frames))),
  }),
  gauge("kvraft_denokv_connections", {
    unit: "connections",
    help: "With `--denokv`: open connections of HTTP.",
    measured: "lib/web/server.ts",
    read: served(({ web }) => [sample({}, web.connections)]),
  }),
  counter("kvraft_denokv_connections_refused_total", {
    unit: "connections",
    help: "With `--denokv`: connections closed because a limit was reached or the client broke the protocol.",
    measured: "lib/web/server.ts",
    read: served(({ web }) => [sample({}, web.refused)]),
  }),
];

/** Returns a reader of metrics that there are with `--denokv` only. */
function served(
  read: (counts: FrontEndCounts) => readonly Sample[],
): (sources: { readonly denokv: FrontEndCounts | null }) => readonly Sample[] {
  return ({ denokv }) => denokv === null ? [] : read(denokv);
}
