/** Mutants of TLS: certificates that are not checked, and servers that are not protected. */
import { tests } from "../checks.ts";
import { inFile, type Mutant } from "../mutant.ts";

const TLS = tests("tls", "tests/unit/platform/tls");
const RULES = tests("certificates", "tests/unit/transport/handshake/certificates_test.ts");
const FILES = tests("tls files", "tests/unit/server/startup/server_tls_test.ts");
const FORWARDED = tests("forwarded writes", "tests/unit/server/auth/forwarded_test.ts");
const SENDERS = tests("unknown sender", "tests/unit/server/membership/unknown_sender_test.ts");
const REQUIRED = tests("required certificates", "tests/cluster/security/required_certificates_test.ts");
const CONFIG = tests("config", "tests/unit/server/config_test.ts");

/** Mutants of TLS. */
export const TLS_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/server/startup/server_tls.ts", [REQUIRED], [
    {
      id: "M3126",
      title: "clients of etcd need no certificate where it is required",
      failure: "with --tls-client-auth required any program that reaches the port of etcd reads and writes",
      from: 'this.certifiedWebNetwork = clientAuth === "required"',
      to: 'this.certifiedWebNetwork = clientAuth === "none"',
    },
  ]),
  ...inFile("lib/platform/tls/tls_dialer.ts", [TLS], [
    {
      id: "M3128",
      title: "a node takes an end that it dials for a node without the usage serverAuth",
      failure:
        "a certificate that names no usage makes a node for those that dial it, and none for those that it dials",
      from: "if (demandsServerUsage && !certificate.isForServers) {",
      to: "if (demandsServerUsage && certificate.fingerprint === name) {",
    },
  ]),
  ...inFile("lib/platform/tls/peer_certificate.ts", [TLS], [
    {
      id: "M890",
      title: "a certificate counts whether or not the runtime has verified it",
      failure: "any client can make a certificate with the name of a user or a node",
      from: "const problem = isVerified && !isAuthority",
      to: "const problem = !isAuthority",
    },
    {
      id: "M986",
      title: "certificates count as verified once one was",
      failure: "a certificate that has expired, or whose authority was taken away, still names its user",
      from: "const isVerified = socket.authorized === true;",
      to: "const isVerified = socket.authorized === true || remembered.size > 0;",
    },
    {
      id: "M891",
      title: "a wildcard stands for any number of labels",
      failure: "a certificate for *.example is taken for hosts of other owners below it",
      from: 'const parent = name.slice(name.indexOf(".") + 1);',
      to: 'const parent = name.split(".").slice(-2).join(".");',
    },
  ]),
  ...inFile("lib/platform/tls/certificate_fields.ts", [TLS, RULES], [
    {
      id: "M3218",
      title: "a byte-order mark before a common name is dropped",
      failure:
        "a certificate of another name, which begins with an invisible character, has the rights of a user",
      from: 'new TextDecoder("utf-8", { ignoreBOM: true }).decode(element.content)',
      to: "new TextDecoder().decode(element.content)",
    },
    {
      id: "M957",
      title: "a certificate that names no usage counts as one for servers",
      failure: "a client whose certificate names no usage connects as a node that no member knows",
      from:
        "if (extension === undefined) return [];\n  const [list] = elementsOf(extension);\n  return elementsOf(contentOf(list, TAG.sequence)).map(",
      to:
        "if (extension === undefined) return [OID.serverAuth];\n  const [list] = elementsOf(extension);\n  return elementsOf(contentOf(list, TAG.sequence)).map(",
    },
  ]),
  ...inFile("lib/server/writes.ts", [FORWARDED, SENDERS], [
    {
      id: "M958",
      title: "a node that is no member may forward writes",
      failure: "a program that connects as an unknown node writes with the rights of any user",
      from: "if (!isMember(from)) {",
      to: "if (from === 0) {",
    },
    {
      id: "M973",
      title: "a node may forward a command with the identity of the leader",
      failure: "a node that authentication is not yet known to compacts the history without a user",
      from: "command.identity.userId === NODE_IDENTITY.userId",
      to: "command.identity.userId > Number.MAX_SAFE_INTEGER",
    },
  ]),
  ...inFile("lib/platform/tls/tls_dialer.ts", [TLS], [
    {
      id: "M892",
      title: "the dialling end does not compare the host with the certificate",
      failure: "any node or client with a certificate of the authority can stand between a client and a node",
      from: "if (!isForHost(certificate, name)) {",
      to: "if (false as boolean) {",
    },
    {
      id: "M970",
      title: "errors that Deno throws out of its listener of connect are not caught",
      failure: "a program at the address of a member ends every node that dials it",
      from: "catchErrorsOfStart(socket, reject);\n",
      to: "",
    },
  ]),
  ...inFile("lib/transport/handshake/certificate_rules.ts", [RULES], [
    {
      id: "M893",
      title: "a node's certificate needs no name of a node",
      failure: "a client with a certificate connects as a node, and deposes the leader",
      from: "if (missing === undefined) return null;",
      to: "if (missing !== undefined || missing === undefined) return null;",
    },
    {
      id: "M956",
      title: "a node's certificate needs no usage serverAuth",
      failure: "a client with a certificate for its own host connects as a node that no member knows",
      from: "if (!certificate.isForServers) {",
      to: "if (!certificate.isForServers && certificate.altNames.length === 0) {",
    },
    {
      id: "M894",
      title: "a member may give another address than the configured one",
      failure: "one node can connect as any other node",
      from: "return [configured, address].map(",
      to: "return [address].map(",
    },
    {
      id: "M895",
      title: "a client's certificate with a problem counts as none where none is required",
      failure: "a client whose certificate has expired is served without its rights, and without an error",
      from: "if (certificate !== null) return this.#checkTrust(certificate);",
      to: 'if (certificate !== null && clientAuth === "required") return this.#checkTrust(certificate);',
    },
  ]),
  ...inFile("lib/platform/tls/server_credentials.ts", [FILES], [
    {
      id: "M896",
      title: "a key that does not fit its certificate is accepted",
      failure: "the node starts, and every connection fails without a reason",
      from: 'if (!own.checkPrivateKey(inPart("key", () => readPrivateKey(key)))) {',
      to: 'if (inPart("key", () => readPrivateKey(key)).type !== "private") {',
    },
  ]),
  ...inFile("lib/platform/tls/certificate_chain.ts", [TLS], [
    {
      id: "M3210",
      title: "the dates of certificates in between are not looked at",
      failure: "a node starts, and every other node and client refuses it",
      from: "if (nowMs > fields.notAfterMs) {",
      to: "if (nowMs > fields.notAfterMs && fields.isForServers) {",
    },
    {
      id: "M3211",
      title: "the end of a certificate in between is not that of the chain",
      failure: "nothing warns before the day on which every other node and client refuses the node",
      from: "return expiresAtMs < end.expiresAtMs ?",
      to: "return expiresAtMs < 0 ?",
    },
  ]),
  ...inFile("lib/server/startup/server_tls.ts", [FILES], [
    {
      id: "M897",
      title: "renewed files are read and not used",
      failure: "connections fail when the first certificate expires, though it was renewed",
      from: "this.#current = found;",
      to: "void found;",
    },
    {
      id: "M3194",
      title: "the end of a certificate is announced with the next daily line",
      failure: "for up to a day nothing says why other nodes and clients refuse a node",
      from: "Math.min(DAY_MS, Math.ceil(leftMs) + 1)",
      to: "DAY_MS",
    },
  ]),
  ...inFile("lib/platform/tls/tls_listener.ts", [TLS], [
    {
      id: "M3224",
      title: "the runtime's own timer of handshakes is left at two minutes",
      failure:
        "each handshake that fails keeps 20 KB so long: a few thousand a second fill the memory of a node",
      from: "handshakeTimeout: handshakeTimeoutMs + SERVER_TIMEOUT_AFTER_MS,",
      to: "",
    },
    {
      id: "M898",
      title: "a handshake may take any time",
      failure: "silent connections keep their sockets until the node has none left",
      from: "if (waiting.sinceMs > beforeMs) break;",
      to: "if (waiting.sinceMs > 0) break;",
    },
  ]),
  ...inFile("lib/server/config/protection.ts", [CONFIG], [
    {
      id: "M899",
      title: "a server listens beyond loopback without protection",
      failure: "other machines read and write all keys, and connect as nodes",
      from: "!isLoopback(bind) && peerSecretFile === null",
      to: "!isLoopback(bind) && peerSecretFile === null && http !== null",
    },
  ]),
];
