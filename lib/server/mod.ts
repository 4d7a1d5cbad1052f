/**
 * A running server: configuration, the driver between the consensus core and the world, the service for clients.
 *
 * `server.ts` puts it together; `node.ts` is one node without its sockets; `driver.ts` turns what the core wants into
 * I/O; `replica.ts` applies the log and answers who waits; `writes.ts` is the way of a write, `forwarding.ts` its hop
 * to the leader, `quota.ts` its door, which `disk_space_monitor.ts` helps to open again; `client_service.ts` answers clients;
 * `leadership.ts` sees changes of leader.
 *
 * `identity.ts` and `recovered_state.ts` are how a start finds out who it is and where it was; `judge_peer.ts` says
 * which nodes may call. `snapshots.ts` takes snapshots and cuts the log, `snapshot_state.ts` reads one back,
 * `snapshot_exchange.ts` sends and receives them, `snapshot_downloads.ts` hands them to clients. `membership.ts`
 * carries out changes of membership, `membership_change.ts` says which are allowed. `tools.ts` is what an operator
 * does while no server runs: `inspect.ts`, `restore.ts`, `recover.ts`.
 *
 * `monitor.ts` shows the node over HTTP to those who watch over it: `metrics.ts` is what it counts as it works (in
 * `histogram.ts`, with `loop_delay.ts`), `metric_table.ts` every metric there is (made with `metric.ts`), `metrics_text.ts` the table as text,
 * `readiness.ts` whether it is of use to clients.
 *
 * @module
 */
export { NodeRefusedError, startServer } from "./server.ts";
export type { RunningServer, ServerPlatform } from "./server.ts";
export { VERSION } from "./version.ts";
