/** A port with TLS under attack: handshakes that do not end, mutated ones and other protocols, while clients are served. */
import { assert, assertEquals } from "@std/assert";
import { SystemClock } from "../../../lib/platform/system.ts";
import { TlsDialer } from "../../../lib/platform/tls/tls_dialer.ts";
import { CONNECTION_FAULT } from "../../../lib/platform/fault.ts";
import { connectOn } from "../../../lib/testing.ts";
import { MAX_TLS_WAITING } from "../../../lib/platform/tls/tls_listener.ts";
import { Speaker } from "../../fuzz/hostile/speaker.ts";
import { mutated } from "../../fuzz/mutator.ts";
import { type Process, READY_LINE, startKvraft } from "../../support/processes/process.ts";
import { ConnectionFrom, HAS_MANY_LOOPBACK_ADDRESSES } from "../../support/processes/source_address.ts";
import { SeededRandom } from "../../support/seeded_random.ts";
import { step } from "../../support/step.ts";
import { freePorts, TemporaryFolder } from "../../support/temporary.ts";
import { Authority, type Credentials } from "../../support/tls/certificates.ts";
import { clientHello, frame } from "../../support/wire.ts";

const HOSTILE = "127.0.0.2";
/** Connections that are opened at the same time. */
const AT_ONCE = 64;
const MUTATIONS = 600;
const CONVERSATIONS = 60;
/** Time limit of a client, on a busy machine. */
const PATIENCE_MS = 60_000;
const KNOWLEDGE = {
  claims: "none",
  peerKeyIds: [],
  members: [1],
  self: 2,
  address: "127.0.0.1:1",
  term: 1,
  lastIndex: 10,
} as const;
/** The beginning of a ClientHello of TLS 1.3: record, handshake, version, and the first bytes of its random number. */
const HANDSHAKE = Uint8Array.of(0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 1, 2, 3, 4, 5, 6, 7, 8);
const CORPUS = [
  HANDSHAKE,
  Uint8Array.of(0x16, 3, 1, 0, 1, 1),
  Uint8Array.of(0x15, 3, 3, 0, 2, 2, 50),
  Uint8Array.of(0x17, 3, 3, 0xff, 0xff),
  new TextEncoder().encode("GET / HTTP/1.1\r\nHost: n1\r\n\r\n"),
  frame(clientHello()),
];

/** A node with TLS, and what programs know of it. */
interface Scene {
  readonly authority: Authority;
  readonly server: Process;
  readonly port: number;
  readonly httpPort: number;
  /** Checks that a new client is served. */
  readonly othersAreServed: () => Promise<void>;
}

/** Returns the arguments of a node whose files are in a folder. */
async function serverArguments(folder: string, authority: Authority, port: number): Promise<string[]> {
  const node = authority.node();
  await Deno.writeTextFile(`${folder}/ca.crt`, authority.cert);
  await Deno.writeTextFile(`${folder}/node.crt`, node.cert);
  await Deno.writeTextFile(`${folder}/node.key`, node.key, { mode: 0o600 });
  const flags = {
    "node-id": "1",
    bind: `127.0.0.1:${port}`,
    cluster: `1=127.0.0.1:${port}`,
    http: `127.0.0.1:${port + 1}`,
    "tls-ca": "ca.crt",
    "tls-cert": "node.crt",
    "tls-key": "node.key",
  };
  return ["server", ...Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value])];
}

/** Returns a dialer that trusts the authority and shows a certificate, or none. */
function dialerOf(authority: Authority, own: Credentials | null): TlsDialer {
  const credentials = { ca: authority.cert, cert: own?.cert ?? null, key: own?.key ?? null };
  return new TlsDialer({ credentials: () => credentials, serverName: null, minVersion: "TLSv1.3" });
}

/** Puts and gets through a new client. */
async function serve(authority: Authority, address: string): Promise<void> {
  const platform = { network: dialerOf(authority, null), clock: new SystemClock(), random: Math.random };
  await using client = await connectOn(platform, { cluster: [address], timeoutMs: PATIENCE_MS });
  const { revision } = await client.put("key", "value");
  assertEquals((await client.get("key"))?.modRevision, revision);
}

/** Opens more connections than may wait for their handshake, each with these bytes. */
async function holdHandshakes({ port, othersAreServed }: Scene, bytes: Uint8Array): Promise<void> {
  using held = new DisposableStack();
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (let opened = 0; opened < 2 * MAX_TLS_WAITING / AT_ONCE; opened++) {
      const connection = held.use(await ConnectionFrom.open(HOSTILE, port));
      await connection.send(bytes);
    }
  }));
  await othersAreServed();
}

/** Sends mutated handshakes and other protocols to the ports of clients and of HTTP. */
async function sendMutations({ port, httpPort, othersAreServed }: Scene): Promise<void> {
  const random = new SeededRandom(1);
  for (let attempt = 0; attempt < MUTATIONS; attempt++) {
    using connection = await ConnectionFrom.open(HOSTILE, attempt % 2 === 0 ? port : httpPort);
    await connection.send(mutated({ corpus: CORPUS, tokens: [HANDSHAKE] }, random));
    if (attempt % 100 === 0) await othersAreServed();
  }
  await othersAreServed();
}

/** Sends hostile frames of every kind within TLS, with the certificate of a client. */
async function sendFrames({ authority, server, port, othersAreServed }: Scene): Promise<void> {
  const [, clusterId = ""] = /\(cluster ([0-9a-f]+),/.exec(server.printed) ?? [];
  const random = new SeededRandom(2);
  const frames = new Set<string>();
  const speaker = new Speaker({
    network: dialerOf(authority, authority.issue({ name: "client" })),
    clock: new SystemClock(),
    random,
    knowledge: (to) => ({ ...KNOWLEDGE, random, clusterId, to }),
    addressOf: () => ({ host: "127.0.0.1", port }),
    targets: [1],
    guises: ["client", "client", "peer"],
    onFrame: (kind) => void frames.add(kind),
  });
  let conversations = 0;
  await speaker.run(() => conversations++ < CONVERSATIONS);
  assert(frames.size > 20, "frames of many kinds were sent");
  await othersAreServed();
}

Deno.test({
  name:
    "TLS: while programs hold handshakes open, and send other bytes and frames, clients connect and are served",
  ignore: !HAS_MANY_LOOPBACK_ADDRESSES,
  async fn(t): Promise<void> {
    await using folder = await TemporaryFolder.make();
    const authority = new Authority();
    const port = freePorts(2);
    const args = await serverArguments(folder.path, authority, port);
    await using server = startKvraft(args, { cwd: folder.path, name: "node 1" });
    await server.waitForOutput(READY_LINE);
    const othersAreServed = (): Promise<void> => serve(authority, `127.0.0.1:${port}`);
    const scene = { authority, server, port, httpPort: port + 1, othersAreServed };
    await othersAreServed();
    await step(t, "handshakes that do not begin", () => holdHandshakes(scene, new Uint8Array(0)));
    await step(t, "handshakes that do not end", () => holdHandshakes(scene, HANDSHAKE));
    await step(t, "mutated handshakes and other protocols", () => sendMutations(scene));
    await step(t, "hostile frames within TLS", () => sendFrames(scene));
    assert(!server.hasEnded);
    assert(!server.printed.includes(CONNECTION_FAULT), server.printed);
  },
});
