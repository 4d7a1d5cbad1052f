/** The tables of the command `top`, made from the reports of the nodes. */
import type { NodeDescription } from "../../../client/types.ts";
import { diagnose } from "../../../diagnosis/diagnose.ts";
import type { MemberReport, NodeReport, NotableEvent } from "../../../protocol/diagnostics/report.ts";
import { countOf, dim, duration, escapeText, perSecond, sizeText, table } from "../../text.ts";

/** The reports of one moment, and those before, from which rates are made. */
export interface Sample {
  readonly members: readonly MemberReport[];
  /** Null for the first. */
  readonly before: readonly MemberReport[] | null;
}

/** The figures of one node; null where they are not known. */
export interface TopRow {
  readonly id: number;
  readonly address: string;
  /** Why there are no figures; null where there are. */
  readonly reason: string | null;
  readonly role: string | null;
  readonly term: number | null;
  /** Entries of the leader's log that it is not known to have. */
  readonly lag: number | null;
  readonly readsPerSecond: number | null;
  readonly writesPerSecond: number | null;
  readonly writeP50Micros: number | null;
  readonly writeP99Micros: number | null;
  readonly syncP99Micros: number | null;
  readonly loopDelayP99Micros: number | null;
  readonly residentBytes: number | null;
  readonly logBytes: number | null;
  readonly watches: number | null;
  readonly leases: number | null;
  readonly clients: number | null;
}

/** A column of the table. */
interface Column {
  readonly title: string;
  /** The value by which rows are sorted, descending; null last. */
  readonly value: (row: TopRow) => number | null;
  readonly text: (row: TopRow) => string;
}

function numberColumn(
  title: string,
  value: Column["value"],
  text: (value: number) => string = String,
): Column {
  return {
    title,
    value,
    text: (row): string => {
      const known = value(row);
      return known === null ? "-" : text(known);
    },
  };
}

const millis = (micros: number): string => duration(micros / 1_000);
const rate = (value: number): string => value < 10 ? value.toFixed(1) : String(Math.round(value));

/** The columns, the most important first: a narrow terminal cuts the others. The first one sorts by id. */
const COLUMNS: readonly Column[] = [
  { title: "node", value: ({ id }): number => -id, text: ({ id }): string => `n${id}` },
  {
    title: "role",
    value: ({ role }): number => role === "leader" ? 1 : 0,
    text: ({ role }): string => role ?? "silent",
  },
  numberColumn("term", ({ term }) => term),
  numberColumn("lag", ({ lag }) => lag),
  numberColumn("read/s", ({ readsPerSecond }) => readsPerSecond, rate),
  numberColumn("write/s", ({ writesPerSecond }) => writesPerSecond, rate),
  numberColumn("w p50", ({ writeP50Micros }) => writeP50Micros, millis),
  numberColumn("w p99", ({ writeP99Micros }) => writeP99Micros, millis),
  numberColumn("sync p99", ({ syncP99Micros }) => syncP99Micros, millis),
  numberColumn("loop p99", ({ loopDelayP99Micros }) => loopDelayP99Micros, millis),
  numberColumn("memory", ({ residentBytes }) => residentBytes, sizeText),
  numberColumn("log", ({ logBytes }) => logBytes, sizeText),
  numberColumn("watches", ({ watches }) => watches),
  numberColumn("leases", ({ leases }) => leases),
  numberColumn("clients", ({ clients }) => clients),
];

/** The titles of the columns, by which rows can be sorted. */
export const SORTS = COLUMNS.map(({ title }) => title);

/** Returns the report of the leader of the highest term; null without one. */
function leaderOf(members: readonly MemberReport[]): NodeReport | null {
  const reports = members.flatMap((one) => one.kind === "reachable" ? [one.report] : []);
  const term = Math.max(0, ...reports.map(({ status }) => status.term));
  return reports.find(({ status }) => status.role === "leader" && status.term === term) ?? null;
}

/** Returns a row for each member, sorted by id. */
export function topRows({ members, before }: Sample): readonly TopRow[] {
  const leader = leaderOf(members);
  return members.map((member): TopRow => {
    const { id, address } = member;
    const peer = leader?.status.peers.find((one) => one.id === id);
    const lag = leader === null ? null : leader.status.id === id ? 0 : Math.max(
      0,
      leader.status.lastLogIndex - (peer?.matchIndex ?? 0),
    );
    if (member.kind === "unreachable") return { ...NOTHING, id, address, lag, reason: member.reason };
    const { report } = member;
    const earlier = before?.find((one) => one.id === id);
    const rates = ratesOf(report, earlier?.kind === "reachable" ? earlier.report : null);
    const { status, latency, memory, log, watches, leases, connections } = report;
    return {
      id,
      address,
      reason: null,
      role: status.role,
      term: status.term,
      lag,
      ...rates,
      writeP50Micros: latency.writeP50Micros,
      writeP99Micros: latency.writeP99Micros,
      syncP99Micros: latency.syncP99Micros,
      loopDelayP99Micros: latency.loopDelayP99Micros,
      residentBytes: memory?.residentBytes ?? null,
      logBytes: log.bytes,
      watches: watches.open,
      leases,
      clients: connections.clients,
    };
  });
}

const NOTHING = {
  role: null,
  term: null,
  readsPerSecond: null,
  writesPerSecond: null,
  writeP50Micros: null,
  writeP99Micros: null,
  syncP99Micros: null,
  loopDelayP99Micros: null,
  residentBytes: null,
  logBytes: null,
  watches: null,
  leases: null,
  clients: null,
} as const;

/** Returns the rates since the report before of the same process; null without one. */
function ratesOf(
  report: NodeReport,
  before: NodeReport | null,
): Pick<TopRow, "readsPerSecond" | "writesPerSecond"> {
  const elapsedMs = report.uptimeMs - (before?.uptimeMs ?? 0);
  if (before === null || before.startedAtMs !== report.startedAtMs || elapsedMs <= 0) {
    return { readsPerSecond: null, writesPerSecond: null };
  }
  const of = (name: "reads" | "writes"): number =>
    Math.max(0, perSecond(report.counters[name] - before.counters[name], elapsedMs));
  return { readsPerSecond: of("reads"), writesPerSecond: of("writes") };
}

/** Returns the line about the whole cluster. */
export function clusterLine({ members }: Sample): string {
  const leader = leaderOf(members);
  const up = members.filter(({ kind }) => kind === "reachable").length;
  const nodes = `${up} of ${members.length} nodes answer`;
  if (leader === null) return `${nodes}, no leader`;
  const { id, term, revision, keys } = leader.status;
  return `${nodes}, leader n${id}, term ${term}, revision ${revision}, ${countOf(keys, "key")}`;
}

/** Returns the line with the findings of doctor, as far as the reports of one node show them; no line without any. */
export function findingLines({ members }: Sample): readonly string[] {
  const descriptions = members.map((member): NodeDescription => {
    const { kind, id, address } = member;
    return kind === "reachable"
      ? { kind: "answered", id, address, members }
      : { kind: "silent", id, address, state: "notAnswering", reason: member.reason };
  });
  // The table says of a node that it is silent.
  const found = diagnose(descriptions).filter(({ rule }) => rule !== "silent-node")
    .map(({ rule, node }) => node === null ? rule : `${rule} n${node}`);
  return found.length === 0 ? [] : [`doctor finds: ${found.join(", ")}`];
}

/** Returns the table of the nodes, sorted by the column at `sort`, which a star marks. */
export function nodeTable(sample: Sample, sort: number): readonly string[] {
  const by = COLUMNS[sort]?.value ?? ((): null => null);
  const rows = topRows(sample).toSorted((a, b) => (by(b) ?? -Infinity) - (by(a) ?? -Infinity) || a.id - b.id);
  const titles = COLUMNS.map(({ title }, position) => position === sort ? `${title}*` : title);
  const cells = rows.map((row) =>
    row.reason === null ? COLUMNS.map(({ text }) => text(row)) : [
      `n${row.id}`,
      "silent",
    ]
  );
  const lines = table([titles, ...cells]);
  const reasons = rows.flatMap(({ id, address, reason }) =>
    reason === null ? [] : [`n${id} at ${escapeText(address)}: ${escapeText(reason)}`]
  );
  return [...lines, ...reasons];
}

/** Returns the newest events of all nodes, the newest first. */
export function eventLines({ members }: Sample, view: { readonly color: boolean }): readonly string[] {
  const all = members.flatMap((member): readonly (readonly [number, NotableEvent])[] =>
    member.kind === "reachable" ? member.report.events.map((event) => [member.id, event]) : []
  ).toSorted(([, a], [, b]) => b.atMs - a.atMs);
  return all.map(([id, { atMs, text, times }]) => {
    const time = new Date(atMs).toISOString().slice(11, 19);
    return `${dim(time, view)}  n${id}  ${escapeText(text)}${times > 1 ? ` (${times} times)` : ""}`;
  });
}
