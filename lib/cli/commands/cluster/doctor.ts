/** The command `doctor`. */
import type { NodeDescription } from "../../../client/types.ts";
import {
  AbortError,
  AuthenticationError,
  KvraftError,
  PermissionDeniedError,
} from "../../../client/errors.ts";
import { reasonWithin } from "../../../client/retry.ts";
import { diagnose } from "../../../diagnosis/diagnose.ts";
import { type Finding, SEVERITIES } from "../../../diagnosis/finding.ts";
import { type Answer, answer, type CommandContext, defineCommand, type Invocation } from "../../command.ts";
import { ExitCode } from "../../errors.ts";
import { callOptions } from "../../options.ts";
import { countOf, enumeration, escapeText } from "../../text.ts";

export const DOCTOR = defineCommand({
  name: "doctor",
  otherNames: ["diagnose", "endpoint"],
  summary: "what is wrong with the cluster, and what to do about it",
  details: [
    "Asks each node directly, for itself and for what it knows of the others, and applies rules to the answers: silent",
    "nodes, links that are down in one direction, two processes with one id, mixed versions and settings, slow and full",
    "disks, wrong clocks, certificates that end, quota, descriptors, snapshots that fail, cancelled watches, and more.",
    "Changes nothing. Ends with 0 if nothing was found, with 1 if something was, and with 3 if no node answers.",
    "docs/operations.md has a section for each finding. --output json has them with the reports of all nodes.",
  ],
  example: [
    "doctor",
    "problem   n3 at 127.0.0.1:7003 does not answer: nothing listens there.",
    "          why  The cluster stops if one more voter fails, and clients that use the node have to find another one.",
    "          do   Start it again. If its data directory is lost, have a new node take its place: member replace.",
    "          see  docs/operations.md#silent-node",
  ],
  async run(invocation, context): Promise<Answer> {
    const { descriptions, reason } = await ask(invocation, context);
    const findings = diagnose(descriptions);
    const isSilent = descriptions.every(({ kind }) => kind === "silent");
    return answer({
      text: () => ({ output: reportText({ findings, descriptions, reason }), note: "" }),
      json: () => ({ healthy: findings.length === 0, findings, reason, nodes: descriptions }),
      exitCode: findings.length === 0 ? ExitCode.done : isSilent ? ExitCode.unavailable : ExitCode.no,
    });
  },
});

/** The answers of the nodes; `reason`: why no node could be asked, null if one was. */
interface Asked {
  readonly descriptions: readonly NodeDescription[];
  readonly reason: string | null;
}

/** Asks the nodes. A cluster that cannot be reached is an answer, too. */
async function ask(invocation: Invocation, context: CommandContext): Promise<Asked> {
  try {
    const client = await context.client();
    return {
      descriptions: await client.cluster.describeEach(callOptions(invocation, context)),
      reason: null,
    };
  } catch (error) {
    const isNoAnswer = error instanceof AbortError || error instanceof AuthenticationError ||
      error instanceof PermissionDeniedError;
    if (!(error instanceof KvraftError) || isNoAnswer) throw error;
    return { descriptions: [], reason: reasonWithin(error.message) };
  }
}

function reportText(
  { findings, descriptions, reason }: Asked & { readonly findings: readonly Finding[] },
): string {
  const asked = countOf(descriptions.length, "node");
  if (findings.length === 0) return `nothing found: ${asked} asked\n`;
  const counts = SEVERITIES.map((severity) => ({
    severity,
    count: findings.filter((finding) => finding.severity === severity).length,
  })).filter(({ count }) => count > 0);
  const sum = `${countOf(findings.length, "finding")} (${
    enumeration(counts.map(({ severity, count }) =>
      severity === "critical" ? `${count} critical` : countOf(count, severity)
    ))
  }), ${asked} asked`;
  const why = reason === null ? [] : [escapeText(reason)];
  return [...findings.map(findingText), ...why, sum].map((line) => `${line}\n`).join("");
}

const INDENT = " ".repeat(10);

/** Returns the lines of one finding. */
function findingText({ severity, what, why, remedy, see }: Finding): string {
  return [
    `${severity.padEnd(INDENT.length)}${escapeText(what)}`,
    `${INDENT}why  ${why}`,
    `${INDENT}do   ${escapeText(remedy)}`,
    `${INDENT}see  ${see}`,
  ].join("\n");
}
