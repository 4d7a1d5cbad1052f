/** The option `tls` of the client library and of the command line, and a client of a real server with TLS. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { UsageError } from "../../../../lib/cli/errors.ts";
import { tlsOf } from "../../../../lib/cli/tls_options.ts";
import { InvalidRequestError, KvraftError } from "../../../../lib/client/errors.ts";
import { tlsDialer } from "../../../../lib/client/auth/tls.ts";
import type { TlsOptions } from "../../../../lib/client/types.ts";
import { KvClient } from "../../../../lib/mod.ts";
import { startServer } from "../../../../lib/server.ts";
import { freePorts, TemporaryFolder } from "../../../support/temporary.ts";
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
    const error = assertThrows(() => tlsDialer(options as TlsOptions), InvalidRequestError, message);
    assert(!error.message.includes("PRIVATE"));
  }
  tlsDialer({ ca: new TextEncoder().encode(authority.cert), cert, key });
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

Deno.test("tls: a client of a server with TLS writes and reads, and one without it is refused with the remedy", async () => {
  await using folder = await TemporaryFolder.make();
  const node = authority.node();
  const path = (name: string): string => `${folder.path}/${name}`;
  for (
    const [name, text] of [["ca.crt", authority.cert], ["node.crt", node.cert], [
      "node.key",
      node.key,
    ]] as const
  ) {
    Deno.writeTextFileSync(path(name), text, { mode: 0o600 });
  }
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
      "tls-client-auth": "required",
    },
  });
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
