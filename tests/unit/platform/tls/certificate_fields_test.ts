/** The fields of certificates, and the hosts that they are for. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { X509Certificate } from "node:crypto";
import { CertificateError, readCertificateFields } from "../../../../lib/platform/tls/certificate_fields.ts";
import { isForHost } from "../../../../lib/platform/tls/peer_certificate.ts";
import { Authority, type CertificateOptions } from "../../../support/tls/certificates.ts";

const authority = new Authority("the authority");
const fieldsOf = (options: CertificateOptions): ReturnType<typeof readCertificateFields> =>
  readCertificateFields(bytesOf(authority.issue(options).cert));

function bytesOf(pem: string): Uint8Array {
  return new Uint8Array(new X509Certificate(pem).raw);
}

Deno.test("readCertificateFields: names, issuer and dates are those of the certificate", () => {
  const { notBeforeMs, notAfterMs, ...names } = fieldsOf({
    name: "alice",
    altNames: ["DNS:Node1.Example", "IP:10.0.0.1", "email:a@b.example"],
    validFromDays: -10,
    validToDays: 20_000, // after 2050, where the form of dates changes
  });
  const days = Math.round((notAfterMs - notBeforeMs) / 86_400_000);
  assertEquals({ ...names, days }, {
    commonName: "alice",
    altNames: ["DNS:node1.example", "IP:10.0.0.1"],
    issuer: "the authority",
    isAuthority: false,
    isForServers: true,
    isForClients: true,
    hasExtensions: true,
    days: 20_010,
  });
  assertEquals(readCertificateFields(bytesOf(authority.cert)).isAuthority, true);
});

Deno.test("readCertificateFields: a certificate is for servers only if its extended key usage names serverAuth", () => {
  const isForServers = (options: Partial<CertificateOptions>): boolean =>
    fieldsOf({ name: "x", altNames: ["DNS:x.example"], ...options }).isForServers;
  assertEquals(isForServers({ usages: ["client"] }), false);
  assertEquals(isForServers({ usages: [] }), false);
  assertEquals(isForServers({ usages: ["client", "server"] }), true);
  const { isForServers: ofVersion1, hasExtensions } = fieldsOf({ name: "x", isVersion1: true });
  assertEquals([ofVersion1, hasExtensions], [false, false]);
});

Deno.test("readCertificateFields: a name inside another name is none", () => {
  // Deno 2.9.6 shows the text of these as if the certificate had the names inside, as Node did before CVE-2021-44532.
  const altNames = ["URI:http://x/, DNS:node1.example", "DNS:a.example, IP Address:10.0.0.1"];
  const { cert } = authority.issue({ name: "x", altNames });
  assertEquals(readCertificateFields(bytesOf(cert)).altNames, []);
  assert(new X509Certificate(cert).subjectAltName?.includes(", DNS:node1.example"));
  assertEquals(fieldsOf({ name: "alice\nO=operators" }).commonName, "");
});

Deno.test("readCertificateFields: a common name that differs in an invisible character is another name", () => {
  for (const name of ["\uFEFFalice", "\u200Balice", "alice\uFEFF"]) {
    assertEquals(fieldsOf({ name }).commonName, name);
  }
});

Deno.test("readCertificateFields: bytes that are cut off or changed are a named error or other fields, and nothing else", () => {
  const bytes = bytesOf(authority.issue({ name: "alice", altNames: ["DNS:a.example", "IP:10.0.0.1"] }).cert);
  for (let length = 0; length < bytes.length; length++) {
    assertThrows(() => readCertificateFields(bytes.subarray(0, length)), CertificateError);
  }
  for (let at = 0; at < bytes.length; at++) {
    for (const byte of [0x00, 0x30, 0x7f, 0x80, 0x84, 0xff]) {
      const changed = bytes.with(at, byte);
      try {
        readCertificateFields(changed);
      } catch (error) {
        assert(error instanceof CertificateError, `byte ${at} as ${byte}: ${error}`);
      }
    }
  }
});

Deno.test("isForHost: names and addresses are compared completely, and a wildcard stands for one label", () => {
  const altNames = ["DNS:node1.example", "DNS:*.kv.example", "DNS:*.com", "IP:10.0.0.1", "IP:2001:db8::1"];
  const hosts = ["node1.example", "NODE1.example", "a.kv.example", "10.0.0.1", "2001:db8::1"];
  assertEquals(hosts.filter((host) => !isForHost({ altNames }, host)), []);
  const others = [
    "example",
    "xnode1.example",
    "kv.example",
    "a.b.kv.example",
    "x.com",
    "10.0.0.10",
    "1.0.0.1",
  ];
  assertEquals(others.filter((host) => isForHost({ altNames }, host)), []);
});
