/** TLS over real sockets: what both ends see of each other, and what they say when it fails. */
import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { connect as connectPlain } from "node:net";
import { once } from "node:events";
import { connect as connectTls } from "node:tls";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { DenoNetwork } from "../../../../lib/platform/deno_network.ts";
import { NetworkError } from "../../../../lib/platform/errors.ts";
import type { Connection, Listener } from "../../../../lib/platform/network.ts";
import { SystemClock } from "../../../../lib/platform/system.ts";
import { type TlsCredentials, TlsDialer } from "../../../../lib/platform/tls/tls_dialer.ts";
import { TlsNetwork } from "../../../../lib/platform/tls/tls_network.ts";
import {
  type HandshakeFailure,
  TlsListener,
  type TlsListenerOptions,
} from "../../../../lib/platform/tls/tls_listener.ts";
import { eventually, within } from "../../../support/eventually.ts";
import { Authority, type CertificateOptions, type Credentials } from "../../../support/tls/certificates.ts";

const ANY_PORT = { host: "127.0.0.1", port: 0 };
const authority = new Authority();
const otherAuthority = new Authority("another authority");
const node = authority.node();
/** The beginning of a ClientHello. */
const CLIENT_HELLO = Uint8Array.of(0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 1, 2, 3, 4);
const never = (): AbortSignal => new AbortController().signal;

/** A server in a thread of its own, which answers each connection with bytes that are no TLS, and resets it. */
class ResettingServer implements Disposable {
  readonly #worker: Worker;
  /** Where it listens. */
  readonly port: Promise<number>;

  constructor() {
    const code = `
      import { createServer } from "node:net";
      const server = createServer((socket) => {
        socket.on("error", () => {});
        socket.write(new Uint8Array(300));
        setTimeout(() => socket.resetAndDestroy(), Math.random() * 20);
      });
      server.listen(0, "127.0.0.1", () => postMessage(server.address().port));`;
    const url = `data:application/javascript,${encodeURIComponent(code)}`;
    this.#worker = new Worker(url, { type: "module" });
    this.port = new Promise((resolve) => this.#worker.onmessage = ({ data }) => resolve(data));
  }

  [Symbol.dispose](): void {
    this.#worker.terminate();
  }
}

/** A listener, and the failures that it reports. */
class Scene implements Disposable {
  readonly failures: HandshakeFailure[] = [];
  readonly listener: TlsListener;
  readonly #open: (Connection | Listener)[] = [];

  constructor(options: Partial<TlsListenerOptions> & { readonly own?: Credentials } = {}) {
    const { own = node, ...others } = options;
    this.listener = new TlsListener({
      address: ANY_PORT,
      credentials: { ca: authority.cert, ...own },
      minVersion: "TLSv1.3",
      asksForCertificate: true,
      onFailure: (failure) => this.failures.push(failure),
      ...others,
    });
    this.#open.push(this.listener);
  }

  get reasons(): readonly string[] {
    return this.failures.map(({ reason }) => reason);
  }

  /** Connects a client; returns both ends. */
  async connect(credentials: Partial<TlsCredentials> = {}, serverName: string | null = null): Promise<
    [client: Connection, server: Connection]
  > {
    const accepted = this.listener.accept();
    const client = await dialler(credentials, serverName).connect(this.listener.address, never());
    const server = await within("the connection is accepted", accepted);
    assert(server !== null);
    this.#open.push(client, server);
    return [client, server];
  }

  [Symbol.dispose](): void {
    for (const closable of this.#open.toReversed()) closable.close();
  }
}

function dialler(credentials: Partial<TlsCredentials> = {}, serverName: string | null = null): TlsDialer {
  const all = { ca: authority.cert, cert: null, key: null, ...credentials };
  return new TlsDialer({ credentials: () => all, serverName, minVersion: "TLSv1.2" });
}

async function readBytes(connection: Connection, count: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(count);
  for (let at = 0; at < count;) at += await connection.read(bytes.subarray(at)) ?? count;
  return bytes;
}

Deno.test("TLS: both ends have the other's certificate and the same binding, and bytes go both ways", async () => {
  using scene = new Scene();
  const alice = authority.issue({ name: "alice", usages: ["client"] });
  const [client, server] = await scene.connect(alice);
  assertEquals([client.security, server.security], ["tls", "tls"]);
  assertEquals([client.certificate?.commonName, client.certificate?.altNames], ["node", [
    "IP:127.0.0.1",
    "DNS:localhost",
  ]]);
  assertEquals([server.certificate?.commonName, server.certificate?.problem], ["alice", null]);
  assertEquals(client.binding?.length, 32);
  assertEquals(client.binding, server.binding);
  for (const [from, to] of [[client, server], [server, client]] as const) {
    const sent = crypto.getRandomValues(new Uint8Array(60_000));
    const received = readBytes(to, sent.length);
    await from.write(sent);
    assertEquals(await received, sent);
  }
  client.close();
  assertEquals(await server.read(new Uint8Array(10)), null);
  assertEquals(scene.failures, []);
});

/** Certificates that the accepting end sees as a problem, with the reason. */
const CLIENTS: Readonly<Record<string, [Credentials | null, RegExp | null]>> = {
  "of another authority": [otherAuthority.issue({ name: "mallory" }), /not issued by a trusted authority/],
  "of another authority with the name of the own one": [
    new Authority("kvraft test authority").issue({ name: "mallory" }),
    /not issued by a trusted authority/,
  ],
  "expired": [issue({ validFromDays: -20, validToDays: -10 }), /^it expired on \d{4}-\d\d-\d\d$/],
  "not yet valid": [issue({ validFromDays: 10 }), /^it is not valid before \d{4}-\d\d-\d\d$/],
  "for servers only": [issue({ usages: ["server"] }), /extended key usage does not allow/],
  "of an authority": [issue({ isAuthority: true, usages: [] }), /certificate of an authority/],
  "of version 1": [issue({ isVersion1: true }), /it has no extensions \(X\.509 version 1\)/],
  "for clients": [issue({ usages: ["client"] }), null],
  "without a usage": [issue({ usages: [] }), null],
};

function issue(options: Partial<CertificateOptions>): Credentials {
  return authority.issue({ name: "alice", ...options });
}

Deno.test("TLS: a listener gets every certificate with the reason why it must not be trusted", async () => {
  using scene = new Scene();
  for (const [name, [credentials, problem]] of Object.entries(CLIENTS)) {
    const [, server] = await scene.connect(credentials ?? {});
    const shown = server.certificate;
    assert(shown !== null, name);
    if (problem === null) assertEquals(shown.problem, null, name);
    else assert(problem.test(shown.problem ?? ""), `${name}: ${shown.problem}`);
  }
  const [, server] = await scene.connect();
  assertEquals(server.certificate, null);
});

/** Certificates of servers that a client refuses, with a part of its message. */
const SERVERS: Readonly<Record<string, [Credentials, RegExp]>> = {
  "of another authority": [
    otherAuthority.node(),
    /certificate of "node" .* is not accepted: it is not issued by/,
  ],
  "expired": [authority.node({ validFromDays: -20, validToDays: -10 }), /is not accepted: it expired on/],
  "not yet valid": [authority.node({ validFromDays: 10 }), /is not accepted: it is not valid before/],
  "for clients only": [authority.node({ usages: ["client"] }), /extended key usage does not allow/],
  "of an authority": [authority.node({ isAuthority: true, usages: [] }), /./],
  "for another host": [
    authority.node({ altNames: ["DNS:node9.example", "IP:10.9.9.9"] }),
    /is not for 127\.0\.0\.1: it is for DNS:node9\.example, IP:10\.9\.9\.9/,
  ],
  "with the host as common name only": [
    authority.node({ name: "127.0.0.1", altNames: [] }),
    /is not for 127\.0\.0\.1: it is for no name/,
  ],
};

Deno.test("TLS: a client refuses a server's certificate with subject, reason and what to compare", async () => {
  for (const [name, [own, message]] of Object.entries(SERVERS)) {
    using scene = new Scene({ own });
    const error = await assertRejects(
      () => dialler().connect(scene.listener.address, never()),
      NetworkError,
      `Cannot connect to 127.0.0.1:${scene.listener.address.port}: `,
    );
    assert(message.test(error.message), `${name}: ${error.message}`);
    assert(error.code === "notTrusted" || error.code === "tlsFailed", `${name}: ${error.code}`);
  }
});

Deno.test("TLS: a node dials no end whose certificate does not name serverAuth; a client does", async () => {
  for (const usages of [["server", "client"], []] as const) {
    const own = authority.node({ usages });
    using scene = new Scene({ own });
    await scene.connect();
    const network = new TlsNetwork({
      credentials: () => ({ ca: authority.cert, ...own }),
      minVersion: "TLSv1.3",
      peerName: null,
      asksForCertificate: true,
      onFailure: () => {},
    });
    const dialled = network.connect(scene.listener.address, never());
    if (usages.length > 0) (await dialled).close();
    else await assertRejects(() => dialled, NetworkError, "extended key usage does not name serverAuth");
  }
});

Deno.test("TLS: a client may check another name than the host that it dials", async () => {
  using scene = new Scene({ own: authority.node({ altNames: ["DNS:kvraft.example"] }) });
  await scene.connect({}, "kvraft.example");
  await assertRejects(
    () => dialler().connect(scene.listener.address, never()),
    NetworkError,
    "is not for 127.0.0.1",
  );
});

Deno.test("TLS: a connection without TLS gets the alert that a client of kvraft knows, and is reported", async () => {
  using scene = new Scene();
  const socket = connectPlain(scene.listener.address);
  socket.write(new Uint8Array([0, 0, 0, 20, 0x9b, 0]));
  const [answer] = await once(socket, "data");
  assertEquals([...answer].slice(0, 3), [0x15, 3, 3]);
  await eventually("it is reported", () => scene.failures.length === 1 ? true : null);
  assertEquals(scene.failures[0]?.reason, "notTls");
  assert(/^127\.0\.0\.1:\d+$/.test(scene.failures[0]?.remote ?? ""));
  socket.destroy();
});

Deno.test("TLS: a client says that the server does not speak TLS", async () => {
  const listener = new DenoNetwork().listen(ANY_PORT);
  const connecting = dialler().connect(listener.address, never());
  const connection = await listener.accept();
  await connection?.read(new Uint8Array(10));
  await connection?.write(new TextEncoder().encode("HTTP/1.1 400 Bad Request\r\n\r\n"));
  const error = await assertRejects(() => connecting, NetworkError, "the server there does not speak TLS");
  assertEquals(error.code, "tlsFailed");
  for (const closable of [connection, listener]) closable?.close();
});

Deno.test("TLS: versions below the least one are refused, with a message at both ends", async () => {
  using scene = new Scene();
  const old = connectTls({ ...scene.listener.address, maxVersion: "TLSv1.2", rejectUnauthorized: false });
  const [error] = await once(old, "error");
  assert(/ProtocolVersion/.test(String(error)));
  await eventually("it is reported", () => scene.failures.length === 1 ? true : null);
  assertEquals(scene.reasons, ["version"]);
});

Deno.test("TLS: a handshake that is not complete in time is closed and reported", async () => {
  using scene = new Scene({ handshakeTimeoutMs: 100 });
  const silent = connectPlain(scene.listener.address);
  await within("it is closed", once(silent, "close"));
  assertEquals(scene.reasons, ["timeout"]);
});

Deno.test("TLS: the memory of handshakes that failed is free soon after them", async () => {
  using scene = new Scene({ handshakeTimeoutMs: 100 });
  setFlagsFromString("--expose-gc");
  const collect: () => void = runInNewContext("gc");
  const heapBytes = (): number => {
    collect();
    return Deno.memoryUsage().heapUsed;
  };
  const fail = async (): Promise<void> => {
    const silent = connectPlain(scene.listener.address).on("error", () => {});
    silent.write(CLIENT_HELLO);
    await within("it is closed", once(silent, "close"));
  };
  await fail();
  const before = heapBytes();
  for (let round = 0; round < 3; round++) await Promise.all(Array.from({ length: 400 }, fail));
  await eventually("the heap is as it was", () => heapBytes() < before + 2_000_000 || null, {
    explain: () => `${heapBytes() - before} bytes more`,
  });
});

Deno.test("TLS: above the bound the oldest waiting connection of the host with the most is closed, and others get in", async () => {
  using scene = new Scene({ maxWaiting: 4 });
  const silent = Array.from({ length: 12 }, () => connectPlain(scene.listener.address).on("error", () => {}));
  await eventually("the first eight are closed", () => scene.failures.length >= 8 ? true : null);
  assertEquals(new Set(scene.reasons), new Set(["tooMany"]));
  await scene.connect();
  for (const socket of silent) socket.destroy();
});

Deno.test("TLS: new credentials are for new connections, and open ones go on", async () => {
  using scene = new Scene();
  const [client, server] = await scene.connect();
  const renewed = authority.node({ name: "renewed" });
  const both = `${otherAuthority.cert}${authority.cert}`;
  scene.listener.replaceCredentials({ ca: both, ...renewed });
  const [second, accepted] = await scene.connect(otherAuthority.issue({ name: "mallory" }));
  assertEquals([second.certificate?.commonName, accepted.certificate?.problem], ["renewed", null]);
  assertEquals(second.binding, accepted.binding);
  const received = readBytes(server, 5);
  await client.write(new TextEncoder().encode("hello"));
  assertEquals((await received).length, 5);
});

Deno.test("TLS: a client that is busy while the other end sends other bytes and resets the connection fails as any other", async () => {
  using server = new ResettingServer();
  const port = await server.port;
  for (let batch = 0; batch < 20; batch++) {
    const timer = new SystemClock().after(0, () => {
      const busyUntil = performance.now() + batch % 20;
      while (performance.now() < busyUntil);
    });
    const failed = Array.from({ length: 10 }, () => {
      return assertRejects(() => dialler().connect({ host: "127.0.0.1", port }, never()), NetworkError);
    });
    for (const { message } of await within("all have failed", Promise.all(failed))) {
      assertMatch(message, /does not speak TLS|closed the connection|ECONNRESET/);
    }
    timer.cancel();
  }
});

Deno.test("TLS: a client that is aborted during the handshake leaves nothing behind", async () => {
  const silent = new DenoNetwork().listen(ANY_PORT);
  const stop = new AbortController();
  const connecting = dialler().connect(silent.address, stop.signal);
  const connection = await silent.accept();
  stop.abort();
  const error = await assertRejects(() => connecting, NetworkError);
  assertEquals(error.code, "aborted");
  for (const closable of [connection, silent]) closable?.close();
});

Deno.test("TLS: a port in use is reported at once, and refused connections as such", async () => {
  using scene = new Scene();
  await scene.connect();
  const error = assertThrows(
    () => new Scene({ address: scene.listener.address }),
    NetworkError,
    "port is in use",
  );
  assertEquals(error.code, "addressInUse");
  const { address } = scene.listener;
  scene.listener.close();
  const refused = await assertRejects(() => dialler().connect(address, never()), NetworkError);
  assertEquals(refused.code, "refused");
});

Deno.test("TLS: a listener notices by itself whether connections still arrive, and its probes are no failures", async () => {
  using scene = new Scene({ probeIntervalMs: 20, handshakeTimeoutMs: 50 });
  await eventually("a probe arrives", () => scene.listener.probes > 0 ? true : null);
  assertEquals(scene.failures, []);
});
