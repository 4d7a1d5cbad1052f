/**
 * A running server: configuration, the driver between the consensus core and I/O, and the service for clients.
 *
 * `server.ts` makes a server and starts it; `node.ts` is one node without its sockets; `driver.ts` turns the core's
 * outputs into I/O; `replica.ts` applies the log and answers the writes and reads that wait for it. A write goes through
 * `writes.ts`, where `write_admission.ts` may refuse it and `forwarding.ts` sends it to the leader.
 * `client_service.ts` replies to clients, `leadership.ts` notices changes of leader, `leadership_transfer.ts` causes them,
 * `node_status.ts` describes the node.
 *
 * `config/` has the options of a server, `startup/` finds or makes its identity and recovers its state, `membership/`
 * changes the configuration, `snapshot/` takes, sends, receives and serves snapshots, `watch/` feeds watches,
 * `metrics/` shows the node over HTTP, `diagnostics/` makes its reports and collects those of others, and `tools/` works on the data of stopped servers.
 *
 * @module
 */
export { NodeRefusedError, startServer } from "./server.ts";
export type { RunningServer, ServerPlatform } from "./server.ts";
export { VERSION } from "./node_status.ts";
