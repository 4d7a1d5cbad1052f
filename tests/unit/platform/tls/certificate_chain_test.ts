/**
 * The chain of a server's certificate: it is found exactly where a handshake of the runtime takes it. Deno 2.9.6 looks at the
 * dates of certificates in between, and not at those of the authority, which OpenSSL 3 and Go 1.24 refuse when it has ended.
 */
import { assertEquals } from "@std/assert";
import { X509Certificate } from "node:crypto";
import type { AddressInfo } from "node:net";
import { connect, createServer } from "node:tls";
import { findChain } from "../../../../lib/platform/tls/certificate_chain.ts";
import { readCertificates } from "../../../../lib/platform/tls/pem.ts";
import { Authority, type Credentials } from "../../../support/tls/certificates.ts";

const DAY_MS = 86_400_000;
const HOST = "127.0.0.1";

const root = new Authority("root");
const middle = new Authority("middle", root, { validToDays: 100 });
const second = new Authority("second", middle, { validToDays: 50 });
const endedRoot = new Authority("ended root", null, { validToDays: -0.5 });

interface Case {
  readonly title: string;
  readonly issuer: Authority;
  readonly between?: readonly Authority[];
  readonly trusted?: readonly Authority[];
  /** The days until the chain ends, and the authority that ends it; or the reason against it. */
  readonly expected: readonly [days: number, authority: string | null] | string;
}

const NOT_ISSUED = "not issued by an authority of --tls-ca. Certificates in between follow it in the file";
const stray = new Authority("stray", new Authority("elsewhere"));
const endedMiddle = new Authority("ended", root, { validToDays: -0.5 });
const laterMiddle = new Authority("later", root, { validFromDays: 1 });
const noAuthority = new Authority("server", root, { isAuthority: false });

const CASES: readonly Case[] = [
  { title: "issued by an authority", issuer: root, expected: [365, null] },
  { title: "one in between", issuer: middle, between: [middle], expected: [100, "CN=middle"] },
  {
    title: "two in between, in the wrong order",
    issuer: second,
    between: [middle, second],
    expected: [50, "CN=second"],
  },
  {
    title: "the authority is in the file, too",
    issuer: middle,
    between: [middle, root],
    expected: [100, "CN=middle"],
  },
  { title: "the one in between is trusted", issuer: middle, trusted: [middle], expected: [100, "CN=middle"] },
  {
    title: "the authority has ended",
    issuer: endedRoot,
    trusted: [endedRoot],
    expected: [-0.5, "CN=ended root"],
  },
  {
    title: "two chains",
    issuer: second,
    between: [second, middle],
    trusted: [root, second],
    expected: [50, "CN=second"],
  },
  { title: "the one in between is missing", issuer: middle, expected: `it is ${NOT_ISSUED}` },
  { title: "issued by another authority", issuer: new Authority("other"), expected: `it is ${NOT_ISSUED}` },
  {
    title: "the one in between leads to no authority",
    issuer: stray,
    between: [stray],
    expected: `the certificate of CN=stray, which issued it, is ${NOT_ISSUED}`,
  },
  {
    title: "the one in between has ended",
    issuer: endedMiddle,
    between: [endedMiddle],
    expected: `the certificate of CN=ended, which issued it, expired on ${day(-0.5)}`,
  },
  {
    title: "the one in between is not valid yet",
    issuer: laterMiddle,
    between: [laterMiddle],
    expected: `the certificate of CN=later, which issued it, is not valid before ${day(1)}`,
  },
  {
    title: "the one in between is no authority",
    issuer: noAuthority,
    between: [noAuthority],
    expected: `it is ${NOT_ISSUED}`,
  },
];

function day(days: number): string {
  return new Date(Date.now() + days * DAY_MS).toISOString().slice(0, 10);
}

/** Resolves to whether a client of the runtime takes a server with a certificate. */
async function isTaken({ cert, key }: Credentials, ca: string): Promise<boolean> {
  const server = createServer({ cert, key });
  server.on("tlsClientError", () => {});
  const listening = Promise.withResolvers<void>();
  server.listen(0, HOST, () => listening.resolve());
  await listening.promise;
  const { port } = server.address() as AddressInfo;
  const taken = Promise.withResolvers<boolean>();
  const socket = connect({ port, host: HOST, ca }, () => taken.resolve(true));
  socket.on("error", () => taken.resolve(false));
  const result = await taken.promise;
  socket.destroy();
  const closed = Promise.withResolvers<void>();
  server.close(() => closed.resolve());
  await closed.promise;
  return result;
}

for (const { title, issuer, between = [], trusted = [root], expected } of CASES) {
  Deno.test(`findChain: ${title}: a chain is found where a handshake takes it`, async () => {
    const { cert, key } = issuer.node();
    const sent = [cert, ...between.map((one) => one.cert)].join("");
    const ca = trusted.map((one) => one.cert).join("");
    const [own = new X509Certificate(cert), ...rest] = readCertificates(sent);
    const found = findChain({ own, between: rest, authorities: readCertificates(ca) }, Date.now());
    if (typeof expected === "string") {
      assertEquals(found, { kind: "broken", reason: expected });
    } else if (found.kind === "complete") {
      const { expiresAtMs, authority } = found.end;
      assertEquals([Math.round((expiresAtMs - Date.now()) / DAY_MS * 2) / 2, authority], [...expected]);
    } else assertEquals(found.reason, "none");
    assertEquals(await isTaken({ cert: sent, key }, ca), found.kind === "complete");
  });
}
