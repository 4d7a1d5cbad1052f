/** The metrics of requests, by kind. */
import { counter, gauge, histogram, type Metric, sample, SECONDS_PER_MICRO } from "./metric.ts";
import { isTimed } from "./metrics.ts";

/** In the order in which they are shown. */
export const REQUESTS: readonly Metric[] = [
  counter("kvraft_requests_total", {
    unit: "requests",
    labels: ["kind", "outcome"],
    help: "Requests of clients that were answered, and writes forwarded by other nodes (`forward`). " +
      "An outcome other than `ok` is an error's code; outcomes that never occurred are omitted.",
    measured: "lib/server/client_service.ts",
    read: ({ metrics }) =>
      metrics.requests.flatMap(({ kind, answered }) =>
        answered.filter(({ outcome, count }) => outcome === "ok" || count > 0)
          .map(({ outcome, count }) => sample({ kind, outcome }, count))
      ),
  }),
  gauge("kvraft_requests_in_flight", {
    unit: "requests",
    labels: ["kind"],
    help: "Requests that wait for their answer.",
    measured: "lib/server/client_service.ts",
    read: ({ metrics }) => metrics.requests.map(({ kind, inFlight }) => sample({ kind }, inFlight)),
  }),
  histogram("kvraft_request_seconds", {
    unit: "seconds",
    labels: ["kind"],
    help:
      "Time from when a request was read to when its answer was queued; requests of one turn of the event " +
      "loop share one time, so an answer in the same turn takes 0.",
    measured: "lib/server/client_service.ts",
    read: ({ metrics }) =>
      metrics.requests.map(({ kind, micros }) => (
        { labels: { kind }, histogram: micros, scale: SECONDS_PER_MICRO }
      )),
  }),
  counter("kvraft_slow_requests_total", {
    unit: "requests",
    labels: ["kind"],
    help:
      "Requests that took longer than `--slow-ms`: each has a line in the log (`slowRequest`), if these are few.",
    measured: "lib/server/diagnostics/slow_requests.ts",
    read: ({ metrics }) =>
      metrics.requests.filter(({ kind }) => isTimed(kind)).map(({ kind, slow }) => sample({ kind }, slow)),
  }),
];
