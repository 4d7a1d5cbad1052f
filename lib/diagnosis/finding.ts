/** The findings about a cluster, and the rules that make them: pure functions of what its nodes reported. */
import type { NodeReport } from "../protocol/diagnostics/report.ts";
import type { MemberRole } from "../protocol/messages.ts";
import type { NodeDescription } from "../client/types.ts";

/** How bad a finding is: the cluster does not serve; something is broken or soon will be; something should be looked at. */
export const SEVERITIES = ["critical", "problem", "warning"] as const;
/** One of {@link SEVERITIES}. */
export type Severity = typeof SEVERITIES[number];

/** A finding about a cluster. */
export interface Finding {
  /** The name of its rule, which is stable. */
  readonly rule: string;
  readonly severity: Severity;
  /** The node that it is about; null for the whole cluster. */
  readonly node: number | null;
  /** A sentence on what was found. */
  readonly what: string;
  /** A sentence on why it matters. */
  readonly why: string;
  /** A sentence on what to do. */
  readonly remedy: string;
  /** Where the documentation has more. */
  readonly see: string;
}

/** The part of a finding that differs from one to the next of a rule. */
export interface Found extends Pick<Finding, "severity" | "what" | "remedy"> {
  readonly node: number | null;
  /** A reason that is more precise than that of the rule. */
  readonly why?: string;
}

/** A rule. */
export interface Rule {
  readonly name: string;
  readonly why: string;
  /** Returns what the rule finds in a cluster. */
  find(cluster: ObservedCluster): readonly Found[];
}

/** A node with its report. */
export interface ReportedNode {
  readonly id: number;
  readonly report: NodeReport;
}

/** A member as the nodes that answered know it. */
export interface ObservedMember {
  readonly id: number;
  readonly address: string;
  readonly role: MemberRole;
}

/** The nodes that were asked, and what follows from their answers. */
export interface ObservedCluster {
  readonly descriptions: readonly NodeDescription[];
  /** Those with a report of their own, which they gave to this client or to a node that did. */
  readonly nodes: readonly ReportedNode[];
  /** Those that answered this client, or a node that did, also without a report. */
  readonly answered: ReadonlySet<number>;
  /** The members as the node knows them that has applied the most; empty where none has a report. */
  readonly members: readonly ObservedMember[];
  /** The leader of the highest term, if it leads in its own view; null without one. */
  readonly leader: ReportedNode | null;
}

/** Returns what follows from the answers of the nodes. */
export function observe(descriptions: readonly NodeDescription[]): ObservedCluster {
  const reports = descriptions.flatMap((node) =>
    node.kind !== "answered"
      ? []
      : node.members.filter((member) => member.kind === "reachable").map((member) => (
        { id: member.id, by: node.id, report: member.report }
      ))
  );
  // What cannot be dialled from here may be reached from the nodes that can.
  const nodes = descriptions.flatMap(({ id, kind }): readonly ReportedNode[] => {
    if (kind === "older") return [];
    const given = reports.find((one) => one.id === id && (kind === "silent" || one.by === id));
    return given === undefined ? [] : [{ id, report: given.report }];
  });
  const byTerm = nodes.toSorted((a, b) => b.report.status.term - a.report.status.term);
  const newest = nodes.toSorted((a, b) => b.report.status.appliedIndex - a.report.status.appliedIndex)[0];
  const highest = byTerm[0]?.report.status.term;
  return {
    descriptions,
    nodes,
    answered: new Set([
      ...descriptions.filter(({ kind }) => kind !== "silent").map(({ id }) => id),
      ...nodes.map(({ id }) => id),
    ]),
    members: newest?.report.status.members ?? [],
    leader: byTerm.find(({ report: { status } }) => status.role === "leader" && status.term === highest) ??
      null,
  };
}

/** Returns the names of nodes: `n1`, `n1 and n2`. */
export function namesOf(ids: readonly number[]): string {
  return new Intl.ListFormat("en").format(ids.map((id) => `n${id}`));
}
