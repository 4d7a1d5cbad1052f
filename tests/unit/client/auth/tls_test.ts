/** The option `tls` of the client library and of the command line, and a client of a real server with TLS. */
import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { UsageError } from "../../../../lib/cli/errors.ts";
import { renewedTlsOf, tlsOf } from "../../../../lib/cli/tls_options.ts";
import { AuthenticationError, InvalidRequestError, KvraftError } from "../../../../lib/client/errors.ts";
import { openTls } from "../../../../lib/client/auth/tls.ts";
import type { TlsOptions } from "../../../../lib/client/types.ts";
import { TlsListener } from "../../../../lib/platform/tls/tls_listener.ts";
import { KvClient } from "../../../../lib/mod.ts";
import { startServer } from "../../../../lib/server.ts";
import type { RunningServer } from "../../../../lib/server/server.ts";
import { SystemClock, systemDialer } from "../../../../lib/platform/system.ts";
import { clientOn } from "../../../../lib/client/client.ts";
import { ClientCore } from "../../../../lib/client/core.ts";
import { freePorts, TemporaryFolder } from "../../../support/temporary.ts";
import { MemoryDisk } from "../../../support/fakes/memory_disk.ts";
import { Authority } from "../../../support/tls/certificates.ts";

const authority = new Authority();
const alice = authority.issue({ name: "alice", usages: ["client"] });

Deno.test("tls: options that cannot be used are refused with their name, and no key is in the message", () => {
  const { cert, key } = alice;
  const cases: readonly (readonly [object, string])[] = [
    [{ ca: "" }, "tls.ca: it has no certificate in PEM"],
    [{ ca: 5 }, "tls.ca: it must be text in PEM, or its bytes"],
    [{ ca: authority.cert.replace("M", "!") }, "tls.ca: its certificate number 1 cannot be read"],
    [{ ca: authority.cert, cert }, "tls.key: cert and key are given together"],
    [{ ca: authority.cert, key }, "tls.cert: cert and key are given together"],
    [
      { ca: authority.cert, cert, key: authority.node().key },
      "tls.key: it is not the key of the certificate",
    ],
    [{ ca: authority.cert, cert, key: "garbage" }, "tls.key: it has no private key in PEM"],
    [{ ca: authority.cert, serverName: "" }, "tls.serverName: it must be a name"],
  ];
  for (const [options, message] of cases) {
    const error = assertThrows(() => openTls(options as TlsOptions), InvalidRequestError, message);
    assert(!error.message.includes("PRIVATE"));
  }
  openTls({ ca: new TextEncoder().encode(authority.cert), cert, key });
});

Deno.test("tlsOf: files are named by options, and an option without --tls-ca is refused", () => {
  const files: Record<string, string> = { "ca.crt": authority.cert, "a.crt": alice.cert, "a.key": alice.key };
  const readFile = (path: string): Uint8Array => {
    const text = files[path];
    if (text === undefined) throw new Error("there is no such file");
    return new TextEncoder().encode(text);
  };
  const read = (options: Record<string, string>): TlsOptions | null =>
    tlsOf(new Map(Object.entries(options)), { readFile, readSecretFile: readFile });
  assertEquals(read({}), null);
  assertEquals(
    renewedTlsOf(new Map([["tls-ca", "ca.crt"]]), {
      readFile,
      readSecretFile: readFile,
      disk: new MemoryDisk(),
    })?.(),
    { ca: authority.cert },
  );
  assertEquals(read({ "tls-ca": "ca.crt", "tls-server-name": "node1" }), {
    ca: authority.cert,
    serverName: "node1",
  });
  assertEquals(read({ "tls-ca": "ca.crt", "tls-cert": "a.crt", "tls-key": "a.key" }), {
    ca: authority.cert,
    ...alice,
  });
  assertThrows(() => read({ "tls-cert": "a.crt" }), Error, "--tls-cert has no effect without --tls-ca");
  assertThrows(() => read({ "tls-ca": "ca.crt", "tls-cert": "a.crt" }), Error, "given together");
  assertThrows(
    () => read({ "tls-ca": "none.crt" }),
    Error,
    "Cannot use --tls-ca none.crt: there is no such file.",
  );
  for (
    const [options, message] of [
      [
        { "tls-ca": "a.key" },
        "Cannot use --tls-ca a.key: it has no certificate in PEM: it is a private key.",
      ],
      [
        { "tls-ca": "ca.crt", "tls-cert": "ca.crt", "tls-key": "a.key" },
        "Cannot use --tls-key a.key: it is not the key of the certificate.",
      ],
    ] as const
  ) {
    assertEquals(assertThrows(() => read(options), UsageError).message, message);
  }
});

Deno.test("openTls: a function is read for each connection, and what cannot be used leaves the ones before in use", async () => {
  const next = new Authority("the next authority");
  const node = next.node();
  using stack = new DisposableStack();
  const listener = stack.adopt(
    new TlsListener({
      address: { host: "127.0.0.1", port: 0 },
      credentials: { ca: next.cert, ...node },
      minVersion: "TLSv1.3",
      asksForCertificate: true,
      onFailure: (): void => {},
    }),
    (listener) => listener.close(),
  );
  let given = (): TlsOptions => ({ ca: authority.cert, ...alice });
  const { dialer } = openTls(() => given());
  const dial = async (): Promise<string> => {
    const accepted = listener.accept();
    const client = await dialer.connect(listener.address, new AbortController().signal);
    stack.defer(() => client.close());
    const server = await accepted;
    assert(server !== null);
    stack.defer(() => server.close());
    assertEquals(client.certificate?.issuer, "the next authority");
    return server.certificate?.commonName ?? "";
  };
  given = (): TlsOptions => ({ ca: authority.cert + next.cert, ...next.issue({ name: "bob" }) });
  assertEquals(await dial(), "bob");
  given = (): TlsOptions => ({ ca: next.cert, cert: alice.cert, key: node.key });
  assertEquals(await dial(), "bob", "the certificate was renewed, and its key not yet");
  given = (): never => {
    throw new Error("there is no such file");
  };
  assertEquals(await dial(), "bob");
  const unusable = (): TlsOptions => ({ ca: "" });
  assertThrows(() => openTls(unusable), InvalidRequestError, "tls.ca: it has no certificate in PEM");
});

/** Starts a node with TLS. `mode`: whether clients must show a certificate. */
async function startNode(
  folder: TemporaryFolder,
  mode: "optional" | "required",
): Promise<{ readonly server: RunningServer; readonly address: string; readonly port: number }> {
  const node = authority.node();
  const path = (name: string): string => `${folder.path}/${name}`;
  const files = { "ca.crt": authority.cert, "node.crt": node.cert, "node.key": node.key };
  for (const [name, text] of Object.entries(files)) Deno.writeTextFileSync(path(name), text, { mode: 0o600 });
  const port = freePorts(2);
  const address = `127.0.0.1:${port}`;
  const server = await startServer({
    settings: {
      "node-id": 1,
      bind: address,
      http: `127.0.0.1:${port + 1}`,
      cluster: `1=${address}`,
      "data-dir": path("data"),
      "tls-ca": path("ca.crt"),
      "tls-cert": path("node.crt"),
      "tls-key": path("node.key"),
      "tls-client-auth": mode,
    },
  });
  return { server, address, port };
}

/** A clock that a test sets forward. */
class ShiftedClock extends SystemClock {
  shiftMs = 0;

  override now(): number {
    return super.now() + this.shiftMs;
  }
}

Deno.test("tls: a client whose certificate names no user any more shows its renewed one, and does not dial for each call", async () => {
  await using folder = await TemporaryFolder.make();
  const { server, address } = await startNode(folder, "optional");
  try {
    const ca = authority.cert;
    await using root = await KvClient.connect({ cluster: [address], tls: { ca } });
    await root.auth.addUser("root", { password: "a long password" });
    for (const name of ["alice", "bob"]) await root.auth.addUser(name);
    for (const name of ["root", "alice", "bob"]) await root.auth.grantRole(name, "root");
    await root.auth.enable();

    let own = alice;
    const clock = new ShiftedClock();
    await using client = clientOn(
      await ClientCore.connect({ cluster: [address], tls: () => ({ ca, ...own }) }, {
        network: systemDialer(),
        clock,
        random: Math.random,
      }),
    );
    assertEquals((await client.auth.status()).user, "alice");
    await client.auth.removeUser("alice");
    own = authority.issue({ name: "bob", usages: ["client"] });
    const { message } = await assertRejects(() => client.put("key", "1"), AuthenticationError);
    assertStringIncludes(message, "no user has the name of this client's certificate");
    clock.shiftMs = 60_000;
    await client.put("key", "2");
    assertEquals((await client.auth.status()).user, "bob");
  } finally {
    await server.stop();
  }
});

Deno.test("tls: a client of a server with TLS writes and reads, and one without it is refused with the remedy", async () => {
  await using folder = await TemporaryFolder.make();
  const { server, address, port } = await startNode(folder, "required");
  try {
    const client = await KvClient.connect({
      cluster: [address],
      tls: { ca: authority.cert, ...alice },
      timeoutMs: 30_000,
    });
    const value = "x".repeat(500_000);
    await client.put("greeting", value);
    assertEquals((await client.get("greeting"))?.value.length, value.length);
    await client.close();
    const failures: readonly (readonly [TlsOptions | null, string])[] = [
      [null, "it takes connections with TLS only"],
      [{ ca: authority.cert }, "takes clients with a certificate only"],
      [{ ca: new Authority("other").cert }, 'the certificate of "node" (issued by "kvraft test authority"'],
      [{ ca: authority.cert, ...alice, serverName: "node9.example" }, "is not for node9.example"],
    ];
    for (const [tls, message] of failures) {
      const options = tls === null ? {} : { tls };
      await assertRejects(() => KvClient.connect({ cluster: [address], ...options }), KvraftError, message);
    }
    using http = Deno.createHttpClient({ caCerts: [authority.cert] });
    const page = await fetch(`https://127.0.0.1:${port + 1}/live`, { client: http });
    assertEquals(page.status, 200, await page.text());
  } finally {
    await server.stop();
  }
});
