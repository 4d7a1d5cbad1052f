/** Runs `client doctor` on real nodes, until it finds what a test produced. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import type { Finding } from "../../../lib/diagnosis/finding.ts";
import { DEADLINE_MS, eventually } from "../../support/eventually.ts";
import type { TestCluster } from "../../support/processes/cluster.ts";
import { kvraftCommand, Process, READY_LINE } from "../../support/processes/process.ts";

/** The nodes that doctor asks. */
export type Asked = Pick<TestCluster, "ids" | "address" | "run" | "logs">;

/** The findings as `severity rule node`, and the exit code. */
export interface Diagnosed {
  readonly code: number;
  readonly found: readonly string[];
  readonly findings: readonly Finding[];
}

/** Runs doctor. `flags`: of the client. */
export async function doctor(cluster: Asked, flags: readonly string[] = []): Promise<Diagnosed> {
  const { code, stdout } = await cluster.run([...commandFor(cluster, flags), "--output", "json"]);
  const { findings }: { readonly findings: readonly Finding[] } = JSON.parse(stdout);
  const found = findings.map(({ severity, rule, node }) =>
    `${severity} ${rule}${node === null ? "" : ` n${node}`}`
  );
  return { code, found, findings };
}

function commandFor(cluster: Asked, flags: readonly string[]): readonly string[] {
  const addresses = cluster.ids.map((id) => cluster.address(id)).join(",");
  return ["client", "--cluster", addresses, ...flags, "doctor"];
}

/** Findings that a machine which runs other tests, too, may cause at any time. */
const OF_THE_MACHINE = / (slow-disk|slow-loop|leader-changes)( |$)/;

/** Runs doctor until it finds exactly this, and nothing but the load of the machine besides: links and windows of measurements take seconds. */
export async function finds(
  cluster: TestCluster,
  expected: readonly string[],
  flags: readonly string[] = [],
): Promise<Diagnosed> {
  let last: Diagnosed | null = null;
  return await eventually(`doctor finds ${expected.join(", ") || "nothing"}`, async () => {
    last = await doctor(cluster, flags);
    const found = last.found.filter((one) => !OF_THE_MACHINE.test(one));
    return found.toSorted().join() === expected.toSorted().join() ? last : null;
  }, { explain: () => `${last?.code} ${last?.found.join(", ")}\n${cluster.logs()}` });
}

/** Runs doctor until it finds this among others. It is printed as text, too, and the exit code is 1. */
export async function findsAmong(
  cluster: Asked,
  expected: string,
  { deadlineMs = DEADLINE_MS } = {},
): Promise<Diagnosed & { readonly finding: Finding }> {
  let last: Diagnosed | null = null;
  return await eventually(`doctor finds ${expected} among others`, async () => {
    last = await doctor(cluster);
    const finding = last.findings[last.found.indexOf(expected)];
    if (finding === undefined) return null;
    assertEquals(last.code, 1);
    const { code, stdout } = await cluster.run(commandFor(cluster, []));
    assertEquals(code, 1);
    for (const text of [finding.why, finding.remedy, finding.see]) assertStringIncludes(stdout, text);
    return { ...last, finding };
  }, { explain: () => `${last?.found.join(", ")}\n${cluster.logs()}`, deadlineMs });
}

/** Runs doctor until no finding is of this rule. */
export async function findsNoMore(
  cluster: Asked,
  rule: string,
  { flags = [], deadlineMs = DEADLINE_MS }: { flags?: readonly string[]; deadlineMs?: number } = {},
): Promise<void> {
  let last: Diagnosed | null = null;
  await eventually(`doctor does not find ${rule} any more`, async () => {
    last = await doctor(cluster, flags);
    return last.code !== 3 && last.findings.every((finding) => finding.rule !== rule) || null;
  }, { explain: () => `${last?.found.join(", ")}\n${cluster.logs()}`, deadlineMs });
}

/** Starts a node of a cluster in a process of the caller's, in another environment than the others, and waits until it serves. */
export async function startApart(
  cluster: TestCluster,
  id: number,
  env: Readonly<Record<string, string>>,
): Promise<Process> {
  const [program, ...args] = kvraftCommand(["server", ...cluster.serverArguments(id)]);
  const process = Process.start(program, args, { cwd: cluster.folder.path, env, name: `node ${id}` });
  await process.waitForOutput(READY_LINE);
  return process;
}
