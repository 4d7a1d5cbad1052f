/** Parses lists of nodes in flags and configuration files: `1=host:port,2=host:port`, or addresses alone. */
import { AddressError, ALLOWED_ADDRESS, formatAddress, parseMemberAddress } from "../platform/address.ts";
import { shortened } from "../platform/errors.ts";
import type { Address } from "../platform/network.ts";
import type { NodeId } from "../raft/types.ts";
import { MAX_VOTERS } from "./limits.ts";

/** A node and its address. */
export interface NodeAddress {
  readonly id: NodeId;
  readonly address: Address;
}

/** A node as a client may name it: the id may be left out. */
export interface Contact {
  readonly id: NodeId | null;
  readonly address: Address;
}

/**
 * Reads the nodes of a cluster as a server takes them: `1=host:port,2=host:port,…`, sorted by id. Every node has an
 * id; no id and no address appears twice. Throws {@link AddressError}.
 */
export function parseMembers(text: string): readonly NodeAddress[] {
  const example =
    "Use id=host:port for every node, such as 1=127.0.0.1:7001,2=127.0.0.1:7002,3=127.0.0.1:7003";
  const members = parseContacts(text.split(",")).map(({ id, address }) => {
    if (id === null) {
      throw new AddressError(
        `Cannot read the list of nodes "${shortened(text)}": ${
          formatAddress(address)
        } has no id. ${example}.`,
      );
    }
    return { id, address };
  });
  if (members.length > MAX_VOTERS) {
    throw new AddressError(
      `Cannot read the list of nodes "${
        shortened(text)
      }": it has ${members.length} nodes, and a cluster has 1 to ${MAX_VOTERS}.`,
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
          `Cannot read the list of nodes: id ${contact.id} appears twice. Give each node its own.`,
        );
      }
      if (formatAddress(contact.address) === formatAddress(other.address)) {
        throw new AddressError(
          `Cannot read the list of nodes: ${
            formatAddress(contact.address)
          } appears twice. Name each node once.`,
        );
      }
    }
    contacts.push(contact);
  }
  if (contacts.length === 0) {
    throw new AddressError(`Cannot read the list of nodes: it is empty. ${ALLOWED_ADDRESS}.`);
  }
  return contacts;
}

function parseContact(text: string): Contact {
  const equals = text.indexOf("=");
  const address = parseMemberAddress(text.slice(equals + 1));
  if (equals === -1) return { id: null, address };
  const digits = text.slice(0, equals);
  const id = Number(digits);
  if (!/^[0-9]+$/.test(digits) || !Number.isSafeInteger(id) || id < 1) {
    throw new AddressError(
      `Cannot read the node id "${shortened(digits)}" in "${
        shortened(text)
      }": it must be an integer from 1 up, such as 1=127.0.0.1:7001.`,
    );
  }
  return { id, address };
}
