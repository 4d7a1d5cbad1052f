/** The text of `server inspect`. */
import { countOf, escapeText, sizeText, table, withThousands } from "./text.ts";
import type { StructureFigures } from "../kv/mod.ts";
import type { Member } from "../protocol/messages.ts";
import type {
  InspectReport,
  NodeDirectoryReport,
  SnapshotFileReport,
  StateFigures,
} from "../server/tools/tools_port.ts";

/** Returns the content of a backup or data directory as a table, followed by the damage that was found. */
export function inspectText(report: InspectReport): string {
  const rows = report.kind === "snapshot" ? snapshotRows(report) : directoryRows(report);
  const verdict = report.damage.length === 0
    ? ["no damage: everything can be read"]
    : report.damage.map((sentence) => `DAMAGED: ${sentence}`);
  return [...table(rows), ...verdict].map((line) => `${escapeText(line)}\n`).join("");
}

function snapshotRows(report: SnapshotFileReport): string[][] {
  const { path, formatVersion, clusterId, index, term, revision, bytes, contents, structure, members } =
    report;
  return [
    ["snapshot", path],
    ["format", `version ${formatVersion}`],
    ["cluster", clusterId],
    ["revision", `${revision}`],
    ["log", `up to index ${index}, term ${term}`],
    ["size", sizeText(bytes)],
    ...(contents === null ? [] : stateRows(contents, structure)),
    ["members", membersText(members)],
  ];
}

/** Returns the rows on a loaded state. `structure`: null when it was not checked, or is damaged. */
function stateRows(state: StateFigures, structure: StructureFigures | null): string[][] {
  const { keys, keyBytes, valueBytes, sessions, leases, historyBytes } = state;
  return [
    ["keys", `${withThousands(keys)}, ${sizeText(keyBytes)}`],
    ["values", sizeText(valueBytes)],
    ["history", `${historyText(state)}, ${sizeText(historyBytes)}`],
    ["sessions", withThousands(sessions)],
    ...(leases === 0 ? [] : [["leases", withThousands(leases)]]),
    ...usersRows(state),
    ...(structure === null ? [] : [["structure", structureText(structure)]]),
  ];
}

/** Returns the row on users and roles, if there are any. */
function usersRows({ auth: { enabled, users, roles, tokens } }: StateFigures): string[][] {
  if (users + roles === 0) return [];
  const authentication = `authentication ${enabled ? "enabled" : "disabled"}`;
  const counts = `roles ${withThousands(roles)}, tokens ${withThousands(tokens)}`;
  return [["users", `${withThousands(users)}, ${counts}, ${authentication}`]];
}

function historyText(
  { featureLevel, compactedRevision }: Pick<StateFigures, "featureLevel" | "compactedRevision">,
): string {
  return `feature level ${featureLevel}, compacted at revision ${compactedRevision}`;
}

function structureText({ pages, versions, events }: StructureFigures): string {
  return `sound: ${countOf(pages, "page")}, ${countOf(versions, "version")}, ${countOf(events, "event")}`;
}

function directoryRows(report: NodeDirectoryReport): string[][] {
  const { path, identity, term, vote, commitIndex, log, snapshots, state, members, removedIds } = report;
  const owner = identity === null
    ? [["owner", "none yet"]]
    : [["owner", `node ${identity.nodeId}`], ["cluster", `${identity.clusterId} (${identity.clusterName})`], [
      "format",
      `version ${identity.formatVersion}`,
    ]];
  const kept = snapshots.map((snapshot) => [
    "snapshot",
    `index ${snapshot.index}, term ${snapshot.term}, ${sizeText(snapshot.bytes)}` +
    (snapshot.state === null ? "" : `; revision ${snapshot.state.revision}, ${historyText(snapshot.state)}`),
  ]);
  const loaded = state === null ? [] : [
    ["state", `at index ${state.index}, revision ${state.revision}`],
    ...stateRows(state, state.structure),
  ];
  return [
    ["data directory", path],
    ...owner,
    ["term", vote === null ? `${term}, no vote` : `${term}, vote for n${vote}`],
    [
      "log",
      `index ${log.firstIndex} to ${log.lastIndex}, last term ${log.lastTerm}, committed to ${commitIndex} at least; ` +
      `${countOf(log.segments, "file")}, ${sizeText(log.bytes)}`,
    ],
    ...(kept.length === 0 ? [["snapshot", "none"]] : kept),
    ...loaded,
    ["members", membersText(members)],
    ...(removedIds.length === 0 ? [] : [["removed", removedIds.map((id) => `n${id}`).join(", ")]]),
  ];
}

/** Returns the members as in `--cluster`. */
export function membersText(members: readonly Member[]): string {
  if (members.length === 0) return "none";
  return members.map(({ id, address, role }) => `${id}=${address}${role === "voter" ? "" : ` (${role})`}`)
    .join(", ");
}
