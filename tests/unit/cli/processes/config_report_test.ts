/** `kvraft server --check-config` and `--print-config` on real files, and the schema of the config file. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { Ajv } from "ajv";
import { denoEnvironment } from "../../../../lib/cli/environment.ts";
import { reportConfig } from "../../../../lib/cli/processes/config_report.ts";
import { SERVER_OPTIONS } from "../../../../lib/server/config/config.ts";
import { configSchema } from "../../../../lib/server/config/schema.ts";
import { checkFiles } from "../../../../lib/server/startup/config_files.ts";
import { readCheckout } from "../../../support/checkout.ts";
import { TemporaryFolder } from "../../../support/temporary.ts";
import { Authority } from "../../../support/tls/certificates.ts";
import { FakeDiagnostics, FakeOutput } from "../support/fake_environment.ts";

const FLAGS = [
  "--node-id",
  "1",
  "--bind",
  "127.0.0.1:7001",
  "--cluster",
  "1=127.0.0.1:7001",
  "--data-dir",
  "/tmp",
];

async function report(
  args: readonly string[],
): Promise<{ readonly code: number | null; readonly out: string; readonly err: string }> {
  const stdout = new FakeOutput(false);
  const stderr = new FakeDiagnostics(false);
  const environment = { ...denoEnvironment(), stdout, stderr };
  const code = await reportConfig(args, { environment, checkFiles });
  return { code, out: stdout.text, err: stderr.text };
}

Deno.test("--check-config: it says all that is wrong at once, with names that are near, and ends with 2", async () => {
  const { code, out, err } = await report([
    "--check-config",
    "--node-idd",
    "1",
    "--heartbeat-ms=soon",
    "--bind",
    "127.0.0.1:7001",
    "--cluster",
    "2=127.0.0.1:7002",
    "--peer-secret-file",
    "/nowhere/secret",
    "--data-dir",
    "/tmp",
    "extra",
  ]);
  assertEquals([code, out], [2, ""]);
  assertEquals(err.trimEnd().split("\n").map((line) => line.split(/\. (?:Allowed|Did|See)/, 1)[0]), [
    "kvraft: There is no option --node-idd",
    'kvraft: "extra" is not an option',
    "kvraft: --node-id is missing",
    'kvraft: --heartbeat-ms: "soon" is not a time',
    "kvraft: --peer-secret-file: cannot use /nowhere/secret: there is no such file",
  ]);
  assertMatch(err, /Did you mean --node-id\?/);
});

Deno.test("--check-config: a configuration without problems ends with 0, as text and as JSON", async () => {
  assertEquals(await report(["--check-config", ...FLAGS]), {
    code: 0,
    out: "The configuration can be used: 4 settings, and defaults for the others.\n",
    err: "",
  });
  const { code, out } = await report([...FLAGS, "--check-config", "--output", "json"]);
  assertEquals([code, JSON.parse(out)], [0, { ok: true, problems: [], warnings: [] }]);
});

Deno.test("--check-config: a key of another certificate is found, and files that cannot be read by their flags", async () => {
  await using folder = await TemporaryFolder.make();
  const { path } = folder;
  const authority = new Authority();
  const [one, two] = [authority.node(), authority.node()];
  Deno.writeTextFileSync(`${path}/ca.crt`, authority.cert);
  Deno.writeTextFileSync(`${path}/node.crt`, one.cert);
  Deno.writeTextFileSync(`${path}/node.key`, one.key, { mode: 0o600 });
  Deno.writeTextFileSync(`${path}/other.key`, two.key, { mode: 0o600 });
  const check = async (key: string, cert = "node.crt"): Promise<readonly [number | null, string]> => {
    const tls = [
      "--tls-ca",
      `${path}/ca.crt`,
      "--tls-cert",
      `${path}/${cert}`,
      "--tls-key",
      `${path}/${key}`,
    ];
    const { code, err } = await report(["--check-config", ...FLAGS, ...tls]);
    return [code, err];
  };
  assertEquals(await check("node.key"), [0, ""]);
  const [code, mismatch] = await check("other.key");
  assertEquals(code, 2);
  assertMatch(mismatch, /^kvraft: --tls-key: cannot use .*other\.key: /);
  const [, missing] = await check("no.key", "no.crt");
  assertMatch(
    missing,
    /--tls-cert: cannot use .*no\.crt: there is no such file\.\n.*--tls-key: cannot use .*no\.key/,
  );
  const short = authority.node({ validToDays: 9.5 });
  Deno.writeTextFileSync(`${path}/short.crt`, short.cert);
  Deno.writeTextFileSync(`${path}/short.key`, short.key, { mode: 0o600 });
  const [usable, warning] = await check("short.key", "short.crt");
  assertEquals(usable, 0);
  assertMatch(
    warning,
    /^kvraft: Warning: The TLS certificate expires soon\. Renew it \(path: .*short\.crt, expires: .*, days: 9\)\.\n$/,
  );
});

Deno.test("--print-config: every setting with its value and source, as text and JSON, and no secret", async () => {
  await using folder = await TemporaryFolder.make();
  const file = `${folder.path}/node.json`;
  const secret = `${folder.path}/peer.secret`;
  Deno.writeTextFileSync(secret, `${"s3cret".repeat(8)}\n`, { mode: 0o600 });
  Deno.writeTextFileSync(file, `{\n  "quota-bytes": "2048MiB",\n  "peer-secret-file": "peer.secret"\n}\n`);
  const args = ["--print-config", ...FLAGS, "--config", file];
  const { code, out, err } = await report(args);
  assertEquals([code, err], [0, ""]);
  assertMatch(out, /^quota-bytes +2GiB +"quota-bytes" \(.*node\.json, line 2, column 3\)$/m);
  assertMatch(out, /^bind +127\.0\.0\.1:7001 +flag$/m);
  assertMatch(out, /^heartbeat-ms +100ms +default$/m);
  assert(!out.includes("s3cret"));
  const json = await report([...args, "--output", "json"]);
  const { settings, problems } = JSON.parse(json.out);
  assertEquals(problems, []);
  assertEquals(
    settings.map(({ name }: { readonly name: string }) => name),
    SERVER_OPTIONS.map(({ name }) => name).filter((name) => name !== "config"),
  );
  assertEquals(
    settings.find(({ name }: { readonly name: string }) => name === "peer-secret-file").value,
    secret,
  );
});

Deno.test("docs/config.schema.json: it is made from the options (deno task schema writes it)", () => {
  assertEquals(JSON.parse(readCheckout("docs/config.schema.json")), configSchema());
});

Deno.test("config schema: a validator takes what the server takes, and refuses wrong names, types and ranges", () => {
  const isValid = new Ajv({ strict: false }).compile(configSchema());
  const taken = [
    { "$schema": "config.schema.json", "node-id": 1, "bind": "0.0.0.0:7001", "cluster": "1=node1:7001" },
    { "quota-bytes": "2GiB", "history-seconds": "7d", "heartbeat-ms": 100, "segment-bytes": 65_536 },
    { "log-level": "warn", "insecure": true, "read-mode": "lease" },
  ];
  const refused = [
    { "nod-id": 1 },
    { "node-id": "1" },
    { "node-id": 0 },
    { "heartbeat-ms": 5 },
    { "quota-bytes": "2GB" },
    { "log-level": "wran" },
    { "insecure": "yes" },
    { "bind": 7001 },
  ];
  assertEquals(taken.map((config) => isValid(config)), taken.map(() => true));
  assertEquals(refused.map((config) => isValid(config)), refused.map(() => false));
});
