/**
 * Certificates in a simulation: its connections have no TLS, and show those of a network that has. Nodes are named by theirs, so
 * that they take each other, and clients are the users that theirs name.
 */
import { assert } from "@std/assert";
import type { Timer } from "../../../lib/platform/clock.ts";
import type { PeerCertificate } from "../../../lib/platform/network.ts";
import { openServerTls, type ServerTls } from "../../../lib/server/startup/server_tls.ts";
import { RecordingLogger } from "../../support/fakes/recording_logger.ts";
import { Authority } from "../../support/tls/certificates.ts";

/** Returns the certificate of the node on a machine. */
export function nodeCertificate(host: string): PeerCertificate {
  return { ...certificateOf("node"), altNames: [`IP:${host}`], isForServers: true };
}

/** Returns the certificate of a client that names a user. It does not end in a simulation. */
export function certificateOf(commonName: string): PeerCertificate {
  return {
    commonName,
    altNames: [],
    issuer: "simulation",
    notBeforeMs: 0,
    notAfterMs: Number.MAX_SAFE_INTEGER,
    isForServers: false,
    fingerprint: "",
    problem: null,
  };
}

/** Returns the TLS of a server that takes clients with a certificate and without; its own files never change. */
export function simulatedTls(): ServerTls {
  const authority = new Authority();
  const { cert, key } = authority.node();
  const texts: Readonly<Record<string, string>> = { ca: authority.cert, cert, key };
  const read = (path: string): string => texts[path] ?? "";
  const timer: Timer = { cancel: () => {} };
  const tls = openServerTls({
    tlsCa: "ca",
    tlsCert: "cert",
    tlsKey: "key",
    tlsClientAuth: "optional",
    tlsMinVersion: "1.3",
    peerName: null,
    allowGroupReadableKeys: false,
  }, {
    clock: { now: () => 0, after: () => timer, endOfTurn: (callback) => callback() },
    wallClock: () => Date.now(),
    logger: new RecordingLogger(),
    readPublicFile: read,
    readPrivateFile: read,
    denoVersion: Deno.version.deno,
  });
  assert(tls !== null, "a server with certificates has TLS");
  return tls;
}
