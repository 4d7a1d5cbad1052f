/** Addresses and lists of nodes as people write them. */
import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  AddressError,
  formatAddress,
  isMemberAddress,
  parseAddress,
  parseMemberAddress,
  sourceOf,
} from "../../../lib/platform/address.ts";
import { parseContacts, parseMembers } from "../../../lib/protocol/node_list.ts";

Deno.test("parseAddress: an address is a name, an IPv4 or a bracketed IPv6 address with a port", () => {
  const read = {
    "127.0.0.1:7001": { host: "127.0.0.1", port: 7001 },
    "Node-1.Example:1": { host: "node-1.example", port: 1 },
    "db_1:65535": { host: "db_1", port: 65_535 },
    "[::1]:7001": { host: "::1", port: 7001 },
    "[2001:DB8:0:0:0:0:0:1]:7001": { host: "2001:db8::1", port: 7001 },
  };
  for (const [text, address] of Object.entries(read)) assertEquals(parseAddress(text), address);
});

Deno.test("parseAddress: other text is refused with the reason and what is allowed", () => {
  const refused = {
    "": "it is empty",
    "localhost": "there is no port",
    "[::1]": "there is no port",
    "::1:7001": "an IPv6 address needs brackets around it",
    ":7001": "the host is not a name or an IP address",
    "a b:7001": "the host is not a name or an IP address",
    "-a:7001": "the host is not a name or an IP address",
    "a..b:7001": "the host is not a name or an IP address",
    "1.2.3:7001": "the host is not a name or an IP address",
    "1.2.3.256:7001": "the host is not a name or an IP address",
    "1.2.3.04:7001": "the host is not a name or an IP address",
    "[1.2.3.4]:7001": "the host is not a name or an IP address",
    "[::1::2]:7001": "the host is not a name or an IP address",
    "a:0": "the port must be from 1 to 65535",
    "a:65536": "the port must be from 1 to 65535",
    "a:x": "it is not a host and a port",
    "a:-1": "it is not a host and a port",
  };
  for (const [text, reason] of Object.entries(refused)) {
    const error = assertThrows(() => parseAddress(text), AddressError, reason);
    assertEquals(
      error.message.endsWith("Use host:port, such as 127.0.0.1:7001, node1.example:7001 or [::1]:7001."),
      true,
    );
  }
});

Deno.test("parseAddress: port 0 is an address to listen on, and none to dial", () => {
  assertEquals(parseAddress("0.0.0.0:0", { allowPortZero: true }), { host: "0.0.0.0", port: 0 });
  assertThrows(() => parseAddress("0.0.0.0:0"), AddressError);
});

Deno.test("formatAddress: a formatted address is parsed to itself", () => {
  const address = fc.record({
    host: fc.oneof(fc.ipV4(), fc.domain()),
    port: fc.integer({ min: 1, max: 65_535 }),
  }, {
    noNullPrototype: true,
  });
  fc.assert(fc.property(address, (value) => assertEquals(parseAddress(formatAddress(value)), value)));
  assertEquals(formatAddress(parseAddress("[::1]:7001")), "[::1]:7001");
});

Deno.test("parseAddress: any text is an address or an AddressError", () => {
  fc.assert(fc.property(fc.string({ unit: fc.constantFrom(..."[]:.=-_a1,ü ") }), (text) => {
    try {
      parseAddress(text);
    } catch (error) {
      assertEquals(error instanceof AddressError, true);
    }
  }));
});

Deno.test("parseMembers: an address of a member names one machine, in any notation", () => {
  const refused = ["0.0.0.0", "[::]", "[0:0::0]", "[::ffff:0.0.0.0]", "[::ffff:224.0.0.1]", "0.1.2.3"];
  refused.push("255.255.255.255", "224.0.0.1", "[ff02::1]");
  for (const host of refused) {
    assertThrows(() => parseMemberAddress(`${host}:7001`), AddressError, "it names no single machine");
  }
  // Systems read these as numbers, the first two as 0.0.0.0; port 0 and no host at all are no addresses.
  for (const text of ["0x0:7001", "0x0.0:7001", "1:7001", "a:0", ":7001"]) {
    assertThrows(() => parseMemberAddress(text), AddressError);
  }
  for (
    const text of ["127.0.0.1:7001", "[::1]:7001", "[::ffff:7f00:1]:7001", "[ff::1]:7001", "node.1:7001"]
  ) {
    assertEquals(isMemberAddress(text), true, text);
  }
  assertEquals(isMemberAddress("Node:7001"), false);
});

Deno.test("parseAddress: the error for an address of megabytes quotes only its beginning", () => {
  const error = assertThrows(() => parseMemberAddress(":".repeat(16_000_000)), AddressError);
  assertEquals(
    error.message,
    `Cannot read the address "${
      ":".repeat(200)
    }… (16000000 characters)": it is longer than 261 characters. ` +
      "Use host:port, such as 127.0.0.1:7001, node1.example:7001 or [::1]:7001.",
  );
});

Deno.test("parseMembers: members are sorted by id", () => {
  assertEquals(parseMembers("3=c:7001, 1=[::1]:7001,20=a:7001"), [
    { id: 1, address: { host: "::1", port: 7001 } },
    { id: 3, address: { host: "c", port: 7001 } },
    { id: 20, address: { host: "a", port: 7001 } },
  ]);
});

Deno.test("parseMembers: a list of nodes that can't be a cluster is refused with the reason", () => {
  const refused = {
    "": "it is empty",
    "a:1": "a:1 has no id. Use id=host:port",
    "0=a:1": 'the node id "0"',
    "x=a:1": 'the node id "x"',
    "1.5=a:1": 'the node id "1.5"',
    "1=a:1,1=b:1": "id 1 appears twice",
    "1=a:1,2=A:1": "a:1 appears twice",
    "1=[::1]:1,2=[0:0::1]:1": "[::1]:1 appears twice",
    "1=0.0.0.0:1": "it names no single machine",
    "1=[::]:1": "it names no single machine",
    "1=a:1,": "it is empty",
    "1=a:1,2=a:2,3=a:3,4=a:4,5=a:5,6=a:6,7=a:7,8=a:8": "a cluster has 1 to 7",
  };
  for (const [text, reason] of Object.entries(refused)) {
    assertThrows(() => parseMembers(text), AddressError, reason);
  }
});

Deno.test("parseContacts: ids may be omitted, and the list keeps its order", () => {
  assertEquals(parseContacts(["b:1", "2=a:1"]), [
    { id: null, address: { host: "b", port: 1 } },
    { id: 2, address: { host: "a", port: 1 } },
  ]);
  assertThrows(() => parseContacts([]), AddressError, "it is empty");
  assertThrows(() => parseContacts(["a:1", "1=a:1"]), AddressError, "a:1 appears twice");
});

Deno.test("sourceOf: an IPv6 address counts by its /64 network, unless it is link-local or stands for an IPv4 address", () => {
  const sources = {
    "10.0.0.1:5000": "10.0.0.1",
    "[::ffff:10.0.0.1]:5000": "10.0.0.1",
    "[2001:db8::1]:5000": "2001:db8:0:0::/64",
    "[2001:db8:0:0:ffff:2:3:4]:5000": "2001:db8:0:0::/64",
    "[2001:db8:0:1::]:5000": "2001:db8:0:1::/64",
    "[2001:DB8:1:2:3::]:5000": "2001:db8:1:2::/64",
    "[::1]:5000": "0:0:0:0::/64",
    "[fe80::1%eth0]:5000": "fe80::1%eth0",
    "n1:7001": "n1",
  };
  for (const [remote, source] of Object.entries(sources)) assertEquals(sourceOf(remote), source);
});
