/** `--tls-client-auth required` at the ports of etcd and Deno KV, of a node and of a gateway: no client gets past it there. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { join } from "@std/path";
import { type Process, READY_LINE, runKvraft, startKvraft } from "../../support/processes/process.ts";
import { step } from "../../support/step.ts";
import { freePorts, TemporaryFolder } from "../../support/temporary.ts";
import { Authority, type Credentials } from "../../support/tls/certificates.ts";

const HOST = "127.0.0.1";
const KEY = btoa("key");

/** The ports of a process under test. */
interface Ports {
  readonly etcd: number;
  readonly denokv: number;
}

const authority = new Authority();
const alice = authority.issue({ name: "alice", usages: ["client"] });
const forged = new Authority("kvraft test authority").issue({ name: "alice", usages: ["client"] });

/** Posts JSON with a certificate; resolves to the status and the text of the answer. */
async function post(
  credentials: Credentials | null,
  url: string,
  { body, token = "any" }: { readonly body: unknown; readonly token?: string },
): Promise<readonly [number, string]> {
  using client = Deno.createHttpClient({ caCerts: [authority.cert], ...credentials ?? {} });
  const headers = { authorization: `Bearer ${token}` };
  const response = await fetch(url, { client, method: "POST", headers, body: JSON.stringify(body) });
  return [response.status, await response.text()];
}

function range(credentials: Credentials | null, { etcd }: Ports): Promise<readonly [number, string]> {
  return post(credentials, `https://${HOST}:${etcd}/v3/kv/range`, { body: { key: KEY }, token: "" });
}

function exchange({ denokv }: Ports, token?: string): Promise<readonly [number, string]> {
  const body = { supportedVersions: [3] };
  return post(null, `https://${HOST}:${denokv}/`, token === undefined ? { body } : { body, token });
}

/** Writes the files of a node, a gateway and a client into a directory. */
async function writeFiles(directory: string): Promise<void> {
  const node = authority.node();
  const texts = {
    "ca.crt": authority.cert,
    "node.crt": node.cert,
    "node.key": node.key,
    "alice.crt": alice.cert,
    "alice.key": alice.key,
  };
  for (const [name, text] of Object.entries(texts)) {
    await Deno.writeTextFile(join(directory, name), text, { mode: 0o600 });
  }
}

const LISTEN = ["--tls-cert", "node.crt", "--tls-key", "node.key", "--tls-ca", "ca.crt"];
const REQUIRED = ["--tls-client-auth", "required"];

async function expectRefusals(ports: Ports, process: Process): Promise<void> {
  await assertRejects(() => range(null, ports), TypeError);
  await assertRejects(() => range(forged, ports), TypeError);
  await process.waitForOutput(/Refused a connection .*code=certificateRequired/);
  await process.waitForOutput(/Refused a connection .*code=certificateRefused/);
  const [status, text] = await range(alice, ports);
  assertEquals(status, 200, `${text}\n${process.printed}`);
}

Deno.test("required certificates: the ports of etcd and Deno KV let no client in that shows nothing", async (t) => {
  await using directory = await TemporaryFolder.make();
  const cwd = directory.path;
  await writeFiles(cwd);
  const first = freePorts(5);
  const address = `${HOST}:${first}`;
  const ofNode = { etcd: first + 1, denokv: first + 2 };
  const ofGateway = { etcd: first + 3, denokv: first + 4 };
  const webFlags = ({ etcd, denokv }: Ports): readonly string[] => [
    "--etcd",
    String(etcd),
    "--denokv",
    String(denokv),
  ];
  const nodeFlags = ["--node-id", "1", "--bind", address, "--cluster", `1=${address}`];
  await using node = startKvraft(["server", ...nodeFlags, ...LISTEN, ...REQUIRED, ...webFlags(ofNode)], {
    cwd,
    name: "the node",
  });
  await node.waitForOutput(READY_LINE);
  const clusterFlags = ["--cluster-tls-ca", "ca.crt", "--cluster-tls-cert", "alice.crt"];
  await using gateway = startKvraft(
    [
      "gateway",
      ...["--cluster", address, ...clusterFlags, "--cluster-tls-key", "alice.key"],
      ...[...LISTEN, ...REQUIRED, ...webFlags(ofGateway)],
    ],
    { cwd, name: "the gateway" },
  );
  await gateway.waitForOutput(/kvraft gateway serves/);

  await step(t, "etcd: a trusted certificate, or no answer", async () => {
    await expectRefusals(ofNode, node);
    await expectRefusals(ofGateway, gateway);
  });

  await step(t, "Deno KV, whose clients can show none: an access token, or 401", async () => {
    for (const ports of [ofNode, ofGateway]) {
      const [status, text] = await exchange(ports);
      assertEquals(status, 401);
      assertMatch(text, /Database default needs an access token/);
    }
    const own = ["--tls-ca", "ca.crt", "--tls-cert", "alice.crt", "--tls-key", "alice.key"];
    const added = await runKvraft(["client", "--cluster", address, ...own, "denokv", "token", "default"], {
      cwd,
    });
    assertEquals(added.code, 0, added.stderr);
    const [token] = /kv[a-z]_\S+/.exec(added.stdout) ?? [];
    assert(token !== undefined, added.stdout);
    for (const ports of [ofNode, ofGateway]) {
      const [status, text] = await exchange(ports, token);
      assertEquals(status, 200, text);
    }
  });
});
