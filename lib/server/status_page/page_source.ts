/** The status page's view of a running node. */
import type { Identity } from "../../storage/mod.ts";
import { WebUsers } from "../auth/web_users.ts";
import type { ServerConfig } from "../config/config.ts";
import type { Diagnostics } from "../diagnostics/diagnostics.ts";
import { addressesOf } from "../membership/members.ts";
import type { Node } from "../node.ts";
import type { ServerTls } from "../startup/server_tls.ts";
import type { PageSource } from "./status_page.ts";

/** A running node, and the platform. */
export interface PageSourceOptions {
  readonly identity: Pick<Identity, "clusterId">;
  readonly node: Pick<Node, "authentication" | "committedConfiguration">;
  readonly diagnostics: Pick<Diagnostics, "describe">;
  /** Returns milliseconds since 1970. */
  readonly wallClock: () => number;
  readonly tls?: ServerTls | null;
}

/** Returns the parts of a node that the pages show, and the names by which it may be asked for them. */
export function pageSourceOf(
  { nodeId, bind, http }: ServerConfig,
  { identity: { clusterId }, node, diagnostics, wallClock, tls = null }: PageSourceOptions,
): PageSource {
  const users = new WebUsers(node.authentication);
  return {
    view: async () => {
      const members = await diagnostics.describe("all");
      return { cluster: clusterId, node: nodeId, atMs: wallClock(), members };
    },
    isOwnName: (name) => {
      const members = addressesOf(node.committedConfiguration).map(({ address }) => address.host);
      const own = [bind.host, ...http === null ? [] : [http.host], ...members];
      return own.some((host) => host.toLowerCase() === name) || (tls?.isNamed(name) ?? false);
    },
    identify: (request) => users.identify(request),
  };
}
