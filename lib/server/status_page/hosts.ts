/**
 * Decides by which names the pages of a node may be asked for.
 *
 * A page of another site can make a browser ask this node under the other site's own name, once that name leads to this node's
 * address (DNS rebinding), and could then read the answer. So a name that is not one of this node or its cluster is refused.
 */

const IPV4 = /^[0-9]{1,3}(?:\.[0-9]{1,3}){3}$/;

/** Returns the host of a Host header in lower case, without port, brackets and the dot at the end; null if it has none. */
export function hostOf(header: string | null): string | null {
  const [, inBrackets, plain] = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]+))(?::[0-9]*)?$/.exec(header ?? "") ?? [];
  const host = (inBrackets ?? plain ?? "").toLowerCase().replace(/\.$/, "");
  return host === "" ? null : host;
}

/** Whether a host of {@link hostOf} leads to this machine or to an address, and is no name that another site can have. */
export function isAddressOrLocal(host: string): boolean {
  return IPV4.test(host) || host.includes(":") || host === "localhost" || host.endsWith(".localhost");
}
