/**
 * The client library on a network, a clock and a source of random numbers that a test provides.
 *
 * @module
 */
import { clientOn, type KvClient } from "./client/client.ts";
import { ClientCore, type ClientPlatform } from "./client/core.ts";
import type { ConnectOptions } from "./client/types.ts";

export type { ClientPlatform } from "./client/core.ts";
export type { Clock, Random, Timer } from "./platform/clock.ts";
export type { Address, Connection, ConnectionSecurity, Dialer, PeerCertificate } from "./platform/network.ts";

/**
 * Connects like {@link KvClient.connect}, on a platform that the test provides.
 *
 * @throws {KvraftError} as {@link KvClient.connect} does
 *
 * @example Counting the connections that a client opens
 * ```ts
 * import { type ClientPlatform, connectOn } from "@kvraft/kvraft/testing";
 *
 * export async function connections(platform: ClientPlatform): Promise<number> {
 *   let count = 0;
 *   const { network } = platform;
 *   const counting = { connect: (...call: Parameters<typeof network.connect>) => (count++, network.connect(...call)) };
 *   const client = await connectOn({ ...platform, network: counting }, { cluster: ["127.0.0.1:7001"] });
 *   await client.close();
 *   return count;
 * }
 * ```
 */
export async function connectOn(platform: ClientPlatform, options: ConnectOptions): Promise<KvClient> {
  return clientOn(await ClientCore.connect(options, platform));
}
