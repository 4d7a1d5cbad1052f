/** The certificates that a node demands of clients and other nodes, over real TLS, with the message at both ends. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { FEATURE_LEVEL } from "../../../../lib/kv/feature_level.ts";
import { DenoNetwork } from "../../../../lib/platform/deno_network.ts";
import type { Dialer } from "../../../../lib/platform/network.ts";
import { SystemClock } from "../../../../lib/platform/system.ts";
import { TlsDialer } from "../../../../lib/platform/tls/tls_dialer.ts";
import { TlsNetwork } from "../../../../lib/platform/tls/tls_network.ts";
import { HandshakeError } from "../../../../lib/protocol/errors.ts";
import type { Caller, Welcome } from "../../../../lib/protocol/hello.ts";
import { dial, type Dialled } from "../../../../lib/transport/dial.ts";
import {
  CertificateRules,
  type CertificateRulesOptions,
} from "../../../../lib/transport/handshake/certificate_rules.ts";
import { CLUSTER_ID, NetNode, type NetNodeOverrides } from "../../../support/fakes/accepting_node.ts";
import { Authority, type Credentials } from "../../../support/tls/certificates.ts";

const clock = new SystemClock();
const authority = new Authority();
const node = authority.node();
const alice = authority.issue({ name: "alice", usages: ["client"] });
const CLIENT: Caller = { role: "client", clusterId: CLUSTER_ID };
const SIZES = { readBytes: 1_024, retainedBytes: 1_024, maxQueuedBytes: 65_536 };

/** Returns the hello of a node that is dialled at `address`. */
function peer(address: string, nodeId = 2): Caller {
  const rest = {
    lane: "probe",
    dataId: 102,
    featureLevel: FEATURE_LEVEL,
    etcdUrl: null,
    credentials: null,
  } as const;
  return { role: "peer", clusterId: CLUSTER_ID, nodeId, address, ...rest };
}

/** A node with TLS, whose cluster has node 2 at 127.0.0.1 and node 3 at another address. */
class Scene implements AsyncDisposable {
  readonly node: NetNode;
  readonly counted: string[] = [];

  constructor(rules: Partial<CertificateRulesOptions> | null = {}, overrides: NetNodeOverrides = {}) {
    const credentials = { ca: authority.cert, ...node };
    const { peerName = null } = rules ?? {};
    const network = rules === null ? new DenoNetwork() : new TlsNetwork({
      credentials: () => credentials,
      minVersion: "TLSv1.3",
      peerName,
      asksForCertificate: true,
      onFailure: ({ reason }) => this.counted.push(reason),
    });
    const onRefused = (code: string): unknown => this.counted.push(code);
    this.node = new NetNode({
      network,
      clock,
      overrides: {
        bind: { host: "127.0.0.1", port: 0 },
        tls: rules === null
          ? null
          : { rules: new CertificateRules({ clientAuth: "optional", peerName, onRefused, ...rules }) },
        members: () => [
          { id: 2, address: "127.0.0.1:7002", role: "voter" },
          { id: 3, address: "10.0.0.3:7003", role: "voter" },
        ],
        ...overrides,
      },
    });
  }

  /** Dials with TLS, and with a certificate if one is given; resolves to the welcome. */
  async connect(
    caller: Caller,
    own: Credentials | null = null,
    serverName: string | null = null,
  ): Promise<Welcome> {
    const { channel, welcome } = await this.open(caller, own, serverName);
    channel.close("only the welcome was wanted");
    return welcome;
  }

  /** The same; resolves to the open connection. */
  open(caller: Caller, own: Credentials | null, serverName: string | null = null): Promise<Dialled> {
    const credentials = { ca: authority.cert, cert: own?.cert ?? null, key: own?.key ?? null };
    return this.dial(
      caller,
      new TlsDialer({ credentials: () => credentials, serverName, minVersion: "TLSv1.3" }),
    );
  }

  dial(caller: Caller, network: Dialer): Promise<Dialled> {
    const { address } = this.node.listener;
    const { signal } = new AbortController();
    return dial({ network, clock, address, caller, sizes: SIZES, timeoutMs: 10_000, signal });
  }

  /** Dials, which must fail; checks that both ends say the same, and returns what they say. */
  async refusal(code: HandshakeError["code"], connecting: Promise<Welcome>): Promise<string> {
    const { code: actual, message } = await assertRejects(() => connecting, HandshakeError);
    assertEquals(actual, code, message);
    const line = this.node.logger.lines.findLast(({ message }) => message === "Refused a connection");
    assertEquals(line?.fields["code"], code);
    assert(message.endsWith(String(line?.fields["reason"])), message);
    assert(this.counted.includes(code));
    return message;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.node.listener.close();
  }
}

Deno.test("certificates: a client with one is identified by it, and one without is welcome unless one is required", async () => {
  await using scene = new Scene();
  await scene.connect(CLIENT, alice);
  await scene.connect(CLIENT);
  assertEquals(scene.node.clients.map(({ certificate }) => certificate?.commonName), ["alice", undefined]);
  await using strict = new Scene({ clientAuth: "required" });
  await strict.connect(CLIENT, alice);
  const message = await strict.refusal("certificateRequired", strict.connect(CLIENT));
  assert(message.includes("--tls-cert and --tls-key"), message);
});

Deno.test("certificates: a full node looks at a client's certificate before it makes space for the client", async () => {
  await using scene = new Scene({ clientAuth: "required" }, { maxConnections: 1 });
  const { channel } = await scene.open(CLIENT, alice);
  await scene.refusal("certificateRequired", scene.connect(CLIENT));
  channel.close("the test has ended");
});

/** Certificates that identify no client, with what the refusal says. */
const REFUSED: Readonly<Record<string, readonly [Credentials, RegExp]>> = {
  "of another authority": [
    new Authority("another authority").issue({ name: "mallory" }),
    /certificate of "mallory" \(issued by "another authority", valid from .*\): it is not issued by a trusted/,
  ],
  "expired": [
    authority.issue({ name: "bob", validFromDays: -9, validToDays: -2 }),
    /"bob" .*: it expired on 20/,
  ],
  "not yet valid": [
    authority.issue({ name: "bob", validFromDays: 2 }),
    /"bob" .*: it is not valid before 20/,
  ],
  "of a server": [authority.node({ usages: ["server"] }), /"node" .*: its extended key usage does not allow/],
  "of an authority": [
    authority.issue({ name: "sub", isAuthority: true, usages: [] }),
    /"sub" .*: it is the cert/,
  ],
};

Deno.test("certificates: a client's certificate with a problem is refused with subject, reason and dates at both ends", async () => {
  await using scene = new Scene();
  for (const [name, [own, text]] of Object.entries(REFUSED)) {
    const message = await scene.refusal("certificateRefused", scene.connect(CLIENT, own));
    assert(text.test(message), `${name}: ${message}`);
    await scene.refusal("certificateRefused", scene.connect(peer("127.0.0.1:7002"), own));
  }
  await using lax = new Scene({ clientAuth: "none" });
  for (const [own] of Object.values(REFUSED)) await lax.connect(CLIENT, own);
  assertEquals(lax.node.clients.map(({ certificate }) => certificate), Array(5).fill(null));
});

Deno.test("certificates: a node needs one with the name of its address, which must be the configured one", async () => {
  await using scene = new Scene({ clientAuth: "none" });
  await scene.connect(peer("127.0.0.1:7002"), node);
  const without = await scene.refusal("certificateRequired", scene.connect(peer("127.0.0.1:7002")));
  assert(without.includes("node 2 shows none"), without);
  const ofClient = await scene.refusal("peerNotAuthenticated", scene.connect(peer("127.0.0.1:7002"), alice));
  assert(/"alice" .* for node 2: it is not one of a node: its extended key usage/.test(ofClient), ofClient);
  const nameless = authority.node({ altNames: [] });
  const ofNoHost = await scene.refusal(
    "peerNotAuthenticated",
    scene.connect(peer("127.0.0.1:7002"), nameless),
  );
  assert(/"node" .* for node 2: it is for no name, and not for 127\.0\.0\.1/.test(ofNoHost), ofNoHost);
  // The certificate of node 2 does not make node 3, at its own address or at node 3's.
  for (const address of ["127.0.0.1:7002", "10.0.0.3:7003"]) {
    const ofOther = await scene.refusal("peerNotAuthenticated", scene.connect(peer(address, 3), node));
    assert(ofOther.includes("and not for 10.0.0.3"), ofOther);
  }
  // A node that joins has the name of the address that it gives.
  await scene.connect(peer("127.0.0.1:7009", 9), node);
  await scene.refusal("peerNotAuthenticated", scene.connect(peer("10.0.0.9:7009", 9), node));
});

Deno.test("certificates: a client's certificate for a host makes no node, member or not, also with a peer name", async () => {
  await using scene = new Scene();
  await using named = new Scene({ peerName: "laptop.example" });
  const altNames = ["DNS:laptop.example", "IP:127.0.0.1"];
  // TLS takes a certificate that names no usage for every use: a client's may be such a one.
  for (const usages of [["client"], []] as const) {
    const laptop = authority.issue({ name: "laptop", altNames, usages });
    await scene.connect(CLIENT, laptop);
    for (const hello of [peer("laptop.example:1", 99), peer("127.0.0.1:7002")]) {
      for (const one of [scene, named]) {
        const message = await one.refusal("peerNotAuthenticated", one.connect(hello, laptop));
        assert(/"laptop" .*: it is not one of a node: .* does not name serverAuth/.test(message), message);
      }
    }
  }
});

Deno.test("certificates: with a peer name, nodes need that name in place of their address", async () => {
  await using scene = new Scene({ peerName: "kvraft.internal" });
  const named = authority.node({ altNames: ["DNS:kvraft.internal"] });
  await scene.connect(peer("10.0.0.3:7003", 3), named);
  await scene.refusal("peerNotAuthenticated", scene.connect(peer("127.0.0.1:7002"), node));
});

Deno.test("certificates: a client without TLS, and one with TLS at a plain port, get an error that says so", async () => {
  await using scene = new Scene();
  await scene.connect(CLIENT);
  const error = await assertRejects(() => scene.dial(CLIENT, new DenoNetwork()), HandshakeError);
  assertEquals(error.code, "tlsRequired");
  assert(error.message.includes("it takes connections with TLS only"), error.message);
  assertEquals(scene.counted, ["notTls"]);
  await using plain = new Scene(null);
  const { message } = await assertRejects(() => plain.connect(CLIENT), Error);
  assert(/the server there (?:does not speak|refuses) TLS/.test(message), message);
  assertEquals(plain.node.logger.messages, ["Closed a connection that speaks another protocol"]);
});
