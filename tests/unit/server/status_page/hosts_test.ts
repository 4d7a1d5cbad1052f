/** The hosts by which the pages of a node may be asked for. */
import { assertEquals } from "@std/assert";
import { hostOf, isAddressOrLocal } from "../../../../lib/server/status_page/hosts.ts";

Deno.test("hostOf: the host of a Host header is found without its port, in lower case", () => {
  const hosts: readonly [string | null, string | null][] = [
    ["Node1.Example:9101", "node1.example"],
    ["node1.example.", "node1.example"],
    ["127.0.0.1", "127.0.0.1"],
    ["[::1]:9101", "::1"],
    ["[FE80::1]", "fe80::1"],
    ["localhost:", "localhost"],
    ["::1", null],
    ["[::1", null],
    ["a:b", null],
    ["", null],
    [null, null],
  ];
  for (const [header, host] of hosts) assertEquals(hostOf(header), host, String(header));
});

Deno.test("isAddressOrLocal: no name that another site can have is taken for an address", () => {
  for (const host of ["127.0.0.1", "10.1.2.3", "::1", "localhost", "a.localhost"]) {
    assertEquals(isAddressOrLocal(host), true, host);
  }
  for (
    const host of [
      "example.com",
      "127.0.0.1.example",
      "1.2.3",
      "localhost.example",
      "xlocalhost",
      "1.2.3.4.5",
    ]
  ) {
    assertEquals(isAddressOrLocal(host), false, host);
  }
});
