/** Addresses as people write them: `host:port`, a bind address, the list of a cluster's nodes. */
import { MAX_VOTERS } from "./limits.ts";
import type { NodeId } from "../raft/types.ts";
import type { Address } from "./network.ts";

/** Text that is no address, or no list of nodes. The message says what is allowed, with an example. */
export class AddressError extends Error {
  override readonly name = "AddressError";
  /** Stable name of this error. */
  readonly code = "invalidAddress";
}

/** A node and where others dial it. */
export interface NodeAddress {
  readonly id: NodeId;
  readonly address: Address;
}

/** A node as a client may name it: the id may be left out. */
export interface Contact {
  readonly id: NodeId | null;
  readonly address: Address;
}

const ALLOWED = "Use host:port, such as 127.0.0.1:7001, node1.example:7001 or [::1]:7001";
const MAX_PORT = 65_535;
const MAX_NAME_CHARACTERS = 253;
const NAME_LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/;

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
  const parts = /^(?:\[([^\]]*)\]|([^:[\]]*)):([0-9]{1,5})$/.exec(text);
  if (parts === null) {
    throw new AddressError(`Cannot read the address "${text}": ${reason(text)}. ${ALLOWED}.`);
  }
  const [, bracketed, plain, digits] = parts;
  const host = bracketed === undefined ? parsePlainHost(plain ?? "") : parseIpv6(bracketed);
  if (host === null) {
    throw new AddressError(
      `Cannot read the address "${text}": the host is not a name or an IP address. ${ALLOWED}.`,
    );
  }
  const port = Number(digits);
  const lowest = options.allowPortZero === true ? 0 : 1;
  if (port < lowest || port > MAX_PORT) {
    throw new AddressError(
      `Cannot read the address "${text}": the port must be from ${lowest} to ${MAX_PORT}. ${ALLOWED}.`,
    );
  }
  return { host, port };
}

/** Writes an address the way {@link parseAddress} reads it. */
export function formatAddress(address: Address): string {
  const host = address.host.includes(":") ? `[${address.host}]` : address.host;
  return `${host}:${address.port}`;
}

/** Whether others can dial an address: not where a node listens on all of its own. */
export function isDialable(address: Address): boolean {
  return address.host !== "0.0.0.0" && address.host !== "::";
}

/** Whether `text` is an address that others can dial, in its one written form. */
export function isMemberAddress(text: string): boolean {
  try {
    const address = parseAddress(text);
    return isDialable(address) && formatAddress(address) === text;
  } catch (error) {
    if (error instanceof AddressError) return false;
    throw error;
  }
}

/**
 * Reads the nodes of a cluster as a server takes them: `1=host:port,2=host:port,…`, sorted by id. Every node has an
 * id; no id and no address stands there twice. Throws {@link AddressError}.
 */
export function parseMembers(text: string): readonly NodeAddress[] {
  const example =
    "Use id=host:port for every node, such as 1=127.0.0.1:7001,2=127.0.0.1:7002,3=127.0.0.1:7003";
  const members = parseContacts(text.split(",")).map(({ id, address }) => {
    if (id === null) {
      throw new AddressError(
        `Cannot read the list of nodes "${text}": ${formatAddress(address)} has no id. ${example}.`,
      );
    }
    return { id, address };
  });
  if (members.length > MAX_VOTERS) {
    throw new AddressError(
      `Cannot read the list of nodes "${text}": it has ${members.length} nodes, and a cluster has 1 to ${MAX_VOTERS}.`,
    );
  }
  return members.sort((a, b) => a.id - b.id);
}

/**
 * Reads the nodes of a cluster as a client takes them: each `host:port` or `id=host:port`, in the order given; none
 * twice. Throws {@link AddressError}.
 */
export function parseContacts(list: readonly string[]): Contact[] {
  const contacts: Contact[] = [];
  for (const text of list) {
    const contact = parseContact(text.trim());
    for (const other of contacts) {
      if (contact.id !== null && contact.id === other.id) {
        throw new AddressError(
          `Cannot read the list of nodes: id ${contact.id} stands there twice. Give each node its own.`,
        );
      }
      if (formatAddress(contact.address) === formatAddress(other.address)) {
        throw new AddressError(
          `Cannot read the list of nodes: ${
            formatAddress(contact.address)
          } stands there twice. Name each node once.`,
        );
      }
    }
    contacts.push(contact);
  }
  if (contacts.length === 0) {
    throw new AddressError(`Cannot read the list of nodes: it is empty. ${ALLOWED}.`);
  }
  return contacts;
}

function parseContact(text: string): Contact {
  const equals = text.indexOf("=");
  const address = parseAddress(text.slice(equals + 1));
  if (!isDialable(address)) {
    throw new AddressError(
      `Cannot use ${formatAddress(address)} in a list of nodes: nobody can dial it. ` +
        `Name an address at which the others reach this node; what it listens on is given by --bind.`,
    );
  }
  if (equals === -1) return { id: null, address };
  const digits = text.slice(0, equals);
  const id = Number(digits);
  if (!/^[0-9]+$/.test(digits) || !Number.isSafeInteger(id) || id < 1) {
    throw new AddressError(
      `Cannot read the node id "${digits}" in "${text}": it must be an integer from 1 up, such as 1=127.0.0.1:7001.`,
    );
  }
  return { id, address };
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
  return host.split(".").every((label) => NAME_LABEL.test(label)) ? host : null;
}

/** The address in its short form, or null when it is not an IPv6 address. */
function parseIpv6(text: string): string | null {
  const url = /^[0-9a-fA-F:.]+$/.test(text) ? URL.parse(`http://[${text}]/`) : null;
  return url === null ? null : url.hostname.slice(1, -1);
}

function reason(text: string): string {
  if (text === "") return "it is empty";
  if (!text.includes("[") && text.split(":").length > 2) return "an IPv6 address needs brackets around it";
  if (!/:[^:\]]*$/.test(text)) return "there is no port";
  return "it is not a host and a port";
}
