/** Certificates of other ends: what is remembered of one that was read before, and what is not. */
import { assertEquals, assertMatch } from "@std/assert";
import { X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import { peerCertificateOf } from "../../../../lib/platform/tls/peer_certificate.ts";
import { Authority, type CertificateOptions } from "../../../support/tls/certificates.ts";

const DAY_MS = 86_400_000;
const authority = new Authority();
const authorities = (): readonly X509Certificate[] => [new X509Certificate(authority.cert)];

/** The parts of a socket that are looked at. */
type Shown = Pick<TLSSocket, "isSessionReused" | "authorized" | "getPeerX509Certificate">;

/** Returns a way to show a certificate on a new connection, which the runtime has verified or not. */
function certificate(options: CertificateOptions): (authorized: boolean) => TLSSocket {
  const { cert } = authority.issue(options);
  return (authorized) => {
    const shown: Shown = {
      authorized,
      isSessionReused: () => false,
      getPeerX509Certificate: () => new X509Certificate(cert),
    };
    return shown as TLSSocket;
  };
}

Deno.test("peerCertificateOf: a certificate that was trusted on one connection is checked again on the next", () => {
  const show = certificate({ name: "alice", altNames: ["DNS:alice.example"], validToDays: 2 });
  const nowMs = Date.now();
  const first = peerCertificateOf(show(true), { authorities, nowMs });
  assertEquals([first?.commonName, first?.altNames, first?.problem], ["alice", ["DNS:alice.example"], null]);
  assertEquals(peerCertificateOf(show(true), { authorities, nowMs }), first);
  const later = peerCertificateOf(show(false), { authorities, nowMs: nowMs + 3 * DAY_MS });
  assertEquals(later?.fingerprint, first?.fingerprint);
  assertMatch(later?.problem ?? "", /^it expired on /);
  const untrusted = peerCertificateOf(show(false), { authorities: () => [], nowMs });
  assertEquals(untrusted?.problem, "it is not issued by a trusted authority");
});

Deno.test("peerCertificateOf: each of many certificates is that of its own connection", () => {
  const shows = Array.from({ length: 300 }, (_, number) => certificate({ name: `user ${number}` }));
  for (let round = 0; round < 2; round++) {
    const names = shows.map((show) => peerCertificateOf(show(true), { authorities, nowMs: 0 })?.commonName);
    assertEquals(names, shows.map((_, number) => `user ${number}`));
  }
});
