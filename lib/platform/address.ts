/** Addresses as people write them: `host:port`, and a bind address. */
import { shortened } from "./errors.ts";
import type { Address } from "./network.ts";

/** Text that is no address, or no list of nodes. The message says what is allowed, with an example. */
export class AddressError extends Error {
  override readonly name = "AddressError";
  /** Stable name of this error. */
  readonly code = "invalidAddress";
}

/** How an address is written, for messages. */
export const ALLOWED_ADDRESS = "Use host:port, such as 127.0.0.1:7001, node1.example:7001 or [::1]:7001";
const MAX_PORT = 65_535;
const MAX_NAME_CHARACTERS = 253;
const NAME_LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/;
/** Systems read names of such labels alone as numbers: `0x0` is 0.0.0.0. */
const NUMBER_LABEL = /^(0x[0-9a-f]*|[0-9]+)$/;
/** The longest host with brackets, colon and port. Longer text is refused before anything looks for parts in it. */
const MAX_ADDRESS_CHARACTERS = MAX_NAME_CHARACTERS + 8;

/**
 * Reads `host:port`. The host is a name, an IPv4 address, or an IPv6 address in brackets; it comes back in lower
 * case and, for IPv6, in its short form, so that equal addresses are equal text. Port 0 ("any free port") only with
 * `allowPortZero`, for an address to listen on. Throws {@link AddressError}.
 *
 * @example
 * ```ts
 * import { parseAddress } from "./address.ts";
 * parseAddress("[::1]:7001"); // { host: "::1", port: 7001 }
 * ```
 */
export function parseAddress(text: string, options: { readonly allowPortZero?: boolean } = {}): Address {
  if (text.length > MAX_ADDRESS_CHARACTERS) {
    throw new AddressError(
      `Cannot read the address "${
        shortened(text)
      }": it is longer than ${MAX_ADDRESS_CHARACTERS} characters. ${ALLOWED_ADDRESS}.`,
    );
  }
  const parts = /^(?:\[([^\]]*)\]|([^:[\]]*)):([0-9]{1,5})$/.exec(text);
  if (parts === null) {
    throw new AddressError(
      `Cannot read the address "${shortened(text)}": ${reason(text)}. ${ALLOWED_ADDRESS}.`,
    );
  }
  const [, bracketed, plain, digits] = parts;
  const host = bracketed === undefined ? parsePlainHost(plain ?? "") : parseIpv6(bracketed);
  if (host === null) {
    throw new AddressError(
      `Cannot read the address "${
        shortened(text)
      }": the host is not a name or an IP address. ${ALLOWED_ADDRESS}.`,
    );
  }
  const port = Number(digits);
  const lowest = options.allowPortZero === true ? 0 : 1;
  if (port < lowest || port > MAX_PORT) {
    throw new AddressError(
      `Cannot read the address "${
        shortened(text)
      }": the port must be from ${lowest} to ${MAX_PORT}. ${ALLOWED_ADDRESS}.`,
    );
  }
  return { host, port };
}

/** Writes an address the way {@link parseAddress} reads it. */
export function formatAddress(address: Address): string {
  const host = address.host.includes(":") ? `[${address.host}]` : address.host;
  return `${host}:${address.port}`;
}

/** Returns the host of an address that {@link formatAddress} wrote, an IPv6 address in its brackets. */
export function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(":"));
}

/**
 * Returns the source address by which connections from `remote` (`host:port`) are counted, where a number of them is
 * limited: an IPv4 address, also one that is mapped into IPv6, or the /64 network of an IPv6 address, since one machine may
 * have every address of such a network. A link-local address counts alone: all machines of a link share its network.
 *
 * @example
 * ```ts
 * import { sourceOf } from "./address.ts";
 * sourceOf("[::ffff:10.0.0.1]:5000"); // "10.0.0.1"
 * sourceOf("[2001:db8::1]:5000"); // "2001:db8:0:0::/64"
 * ```
 */
export function sourceOf(remote: string): string {
  const host = hostOf(remote).replace(/^\[|\]$/g, "").toLowerCase();
  if (!host.includes(":")) return host;
  const [, mapped] = /^::ffff:([0-9.]+)$/.exec(host) ?? [];
  if (mapped !== undefined) return mapped;
  if (host.startsWith("fe80:")) return host;
  const [left = "", right = ""] = host.split("::", 2);
  const leading = left === "" ? [] : left.split(":");
  const trailing = right === "" ? [] : right.split(":");
  const zeros = Array.from({ length: Math.max(0, 8 - leading.length - trailing.length) }, () => "0");
  return `${[...leading, ...zeros, ...trailing].slice(0, 4).join(":")}::/64`;
}

/**
 * Reads the address of a member: `host:port` that the other nodes and the clients can dial. This is the one rule for
 * lists of nodes, for changes of membership, for what a node says of itself in its hello, and for configurations; only
 * what a node listens on is read by {@link parseAddress} alone. Throws {@link AddressError}.
 */
export function parseMemberAddress(text: string): Address {
  const address = parseAddress(text);
  if (isDialable(address)) return address;
  throw new AddressError(
    `Cannot use ${formatAddress(address)} as the address of a node: it names no single machine. ` +
      `Name an address at which the others reach this node; what it listens on is given by --bind.`,
  );
}

/** Whether `text` is an address that {@link parseMemberAddress} takes, in its one written form. */
export function isMemberAddress(text: string): boolean {
  try {
    return formatAddress(parseMemberAddress(text)) === text;
  } catch (error) {
    if (error instanceof AddressError) return false;
    throw error;
  }
}

/** Whether an address names one machine: not all addresses of one (0.0.0.0 and ::), no broadcast, no multicast. */
export function isDialable({ host }: Address): boolean {
  const mapped = /^::ffff:([0-9a-f]{1,4}):[0-9a-f]{1,4}$/.exec(host);
  if (mapped !== null) return isFirstByteDialable(Number.parseInt(mapped[1] ?? "0", 16) >> 8);
  if (host.includes(":")) return host !== "::" && !/^ff[0-9a-f]{2}:/.test(host);
  return !/^[0-9.]+$/.test(host) || isFirstByteDialable(Number.parseInt(host, 10));
}

/** By the first byte of an IPv4 address: 0 is "this network", 224 and up are multicast, reserved and broadcast. */
function isFirstByteDialable(byte: number): boolean {
  return byte > 0 && byte < 224;
}

/** The host in lower case, or null when it is neither a name nor an IPv4 address. */
function parsePlainHost(text: string): string | null {
  const host = text.toLowerCase();
  if (/^[0-9.]+$/.test(host)) {
    const octets = host.split(".");
    return octets.length === 4 &&
        octets.every((octet) => /^(0|[1-9][0-9]{0,2})$/.test(octet) && Number(octet) < 256)
      ? host
      : null;
  }
  if (host.length > MAX_NAME_CHARACTERS) return null;
  const labels = host.split(".");
  if (labels.every((label) => NUMBER_LABEL.test(label))) return null;
  return labels.every((label) => NAME_LABEL.test(label)) ? host : null;
}

/** The address in its short form, or null when it is not an IPv6 address. */
function parseIpv6(text: string): string | null {
  const url = `http://[${text}]/`;
  return /^[0-9a-fA-F:.]+$/.test(text) && URL.canParse(url) ? new URL(url).hostname.slice(1, -1) : null;
}

function reason(text: string): string {
  if (text === "") return "it is empty";
  if (!text.includes("[") && text.split(":").length > 2) return "an IPv6 address needs brackets around it";
  if (!/:[^:\]]*$/.test(text)) return "there is no port";
  return "it is not a host and a port";
}
