/**
 * A running server: configuration, the driver between the consensus core and the world, the service for clients.
 *
 * `server.ts` puts it together; `node.ts` is one node without its sockets; `driver.ts` turns what the core wants into
 * I/O; `replica.ts` applies the log and answers who waits; `writes.ts` is the way of a write, `forwarding.ts` its hop
 * to the leader; `client_service.ts` answers clients; `leadership.ts` sees changes of leader.
 *
 * Left out, and why: metrics and the status page, which come with the work on performance; snapshots and membership
 * changes, for which the core has room.
 *
 * @module
 */
export { startServer } from "./server.ts";
export type { RunningServer, ServerPlatform } from "./server.ts";
export { VERSION } from "./version.ts";
