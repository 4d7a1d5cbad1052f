/**
 * The URLs of KV Connect.
 *
 *     POST /<database>                     the metadata exchange; without a name, of the default database
 *     POST /<database>/kv/snapshot_read    and atomic_write, watch: the data path
 */
import { DEFAULT_DATABASE_NAME } from "../kv/databases/database_command.ts";
import type { WebRequest } from "../web/mod.ts";
import { badRequest } from "./limits.ts";
import type { ProtocolVersion } from "./metadata.ts";

/** The kinds of requests. */
export const REQUEST_KINDS = ["metadata", "snapshot_read", "atomic_write", "watch"] as const;
/** One of {@link REQUEST_KINDS}. */
export type RequestKind = typeof REQUEST_KINDS[number];

/** The destination of a request. */
export interface Route {
  /** Name of the database. */
  readonly database: string;
  readonly kind: RequestKind;
}

/** A database may be named `kv`, too: `/kv/kv/watch` is its watch, and `/kv/watch` that of the default database. */
const PATH = /^\/(?:([a-z0-9][a-z0-9-]{0,62})(?:\/|$))?(?:kv\/(snapshot_read|atomic_write|watch))?$/;

/** Returns the route of a path; null where there is none. */
export function routeOf(path: string): Route | null {
  const match = PATH.exec(path);
  if (match === null) return null;
  const [, database = DEFAULT_DATABASE_NAME, kind = "metadata"] = match;
  return { database, kind: REQUEST_KINDS.find((one) => one === kind) ?? "metadata" };
}

/**
 * Returns the URL of the data path for the answer to a metadata request. It is relative to the URL of that request, so that it
 * is right behind a proxy that adds a prefix of its own, under any name of the host. Clients of version 1 take only an absolute one.
 */
export function endpointOf(request: WebRequest, version: ProtocolVersion): string {
  const { path, security } = request;
  const name = path.slice(path.lastIndexOf("/") + 1);
  const relative = name === "" ? "./kv" : `./${name}/kv`;
  if (version > 1) return relative;
  const host = request.header("host") ?? request.header(":authority");
  const scheme = security.security === "tls" ? "https" : "http";
  const base = host === null ? null : URL.parse(`${scheme}://${host}${path}`);
  if (base === null) throw badRequest("A client of version 1 must send the Host header");
  return new URL(relative, base).href;
}
