/** What the server's tools found or did, and what to type next. */
import { formatAddress } from "../server/config/config.ts";
import type { Member } from "../protocol/messages.ts";
import { escapeText, shellWord } from "./escape.ts";
import type {
  DataFolderReport,
  InspectReport,
  RecoverReport,
  RecoveryStakes,
  RestoreRequest,
  SnapshotFileReport,
} from "../server/tools/tools_port.ts";
import { countOf, sizeText, withThousands } from "./units.ts";
import { table } from "./width.ts";

/** What there is at a path, as a table of text; damage comes last. */
export function inspectText(report: InspectReport): string {
  const rows = report.kind === "snapshot" ? snapshotRows(report) : folderRows(report);
  const verdict = report.damage.length === 0
    ? ["no damage: everything can be read"]
    : report.damage.map((sentence) => `DAMAGED: ${sentence}`);
  return [...table(rows), ...verdict].map((line) => `${escapeText(line)}\n`).join("");
}

function snapshotRows(report: SnapshotFileReport): string[][] {
  const { path, formatVersion, clusterId, index, term, revision, bytes, contents, members } = report;
  const contentRows = contents === null ? [] : [
    ["keys", `${withThousands(contents.keys)}, ${sizeText(contents.keyBytes)}`],
    ["values", sizeText(contents.valueBytes)],
    ["sessions", withThousands(contents.sessions)],
  ];
  return [
    ["snapshot", path],
    ["format", `version ${formatVersion}`],
    ["cluster", clusterId],
    ["revision", `${revision}`],
    ["log", `up to index ${index}, term ${term}`],
    ["size", sizeText(bytes)],
    ...contentRows,
    ["members", membersText(members)],
  ];
}

function folderRows(report: DataFolderReport): string[][] {
  const { path, identity, term, vote, commitIndex, log, snapshots, members, removedIds } = report;
  const owner = identity === null
    ? [["owner", "nobody yet"]]
    : [["owner", `node ${identity.nodeId}`], ["cluster", `${identity.clusterId} (${identity.clusterName})`], [
      "format",
      `version ${identity.formatVersion}`,
    ]];
  const kept = snapshots.map((snapshot) => [
    "snapshot",
    `index ${snapshot.index}, term ${snapshot.term}, ${sizeText(snapshot.bytes)}`,
  ]);
  return [
    ["data folder", path],
    ...owner,
    ["term", vote === null ? `${term}, no vote` : `${term}, vote for n${vote}`],
    [
      "log",
      `index ${log.firstIndex} to ${log.lastIndex}, last term ${log.lastTerm}, committed to ${commitIndex} at least; ` +
      `${countOf(log.segments, "file")}, ${sizeText(log.bytes)}`,
    ],
    ...(kept.length === 0 ? [["snapshot", "none"]] : kept),
    ["members", membersText(members)],
    ...(removedIds.length === 0 ? [] : [["removed", removedIds.map((id) => `n${id}`).join(", ")]]),
  ];
}

function membersText(members: readonly Member[]): string {
  if (members.length === 0) return "none";
  return members.map(({ id, address, role }) => `${id}=${address}${role === "voter" ? "" : ` (${role})`}`)
    .join(", ");
}

/** What may be lost, before the word is asked for. */
export function stakesText(stakes: RecoveryStakes): string {
  const { dataDir, clusterId, nodeId, address, members, lastIndex, lastTerm, commitIndex } = stakes;
  const others = members.filter(({ id }) => id !== nodeId).map(({ id }) => `n${id}`).join(", ");
  const open = lastIndex > commitIndex
    ? `Entries ${commitIndex + 1} to ${lastIndex} were not known to be committed; they count from now on.`
    : "Every entry in it is known to be committed.";
  return escapeText(
    `${dataDir} is node ${nodeId} of cluster ${clusterId}: ${membersText(members)}. ` +
      `Its log ends at index ${lastIndex}, term ${lastTerm}. ${open}`,
  ) + `
LOST: every acknowledged write that did not reach this node.
Node ${nodeId} becomes the only member, dialled at ${escapeText(address)}.${
    others === "" ? "" : ` Never start ${others} again with the folders they have.`
  }
`;
}

/** What to type after a restore. */
export function nextAfterRestore({ from, nodeId, members, dataDir, clusterName }: RestoreRequest): string {
  const cluster = members.map(({ id, address }) => `${id}=${formatAddress(address)}`).join(",");
  const name = clusterName === "kvraft" ? "" : ` --cluster-name ${clusterName}`;
  const bind = members.find(({ id }) => id === nodeId)?.address;
  const start = bind === undefined
    ? ""
    : `  kvraft server --node-id ${nodeId} --bind ${formatAddress(bind)} --cluster ${cluster} --data-dir ${
      shellWord(dataDir)
    }${name}\n`;
  const others = members.filter(({ id }) => id !== nodeId).map(({ id }) => id);
  const rest = others.length === 0
    ? ""
    : `Do the same, with the same ${escapeText(from)}, for ${others.length === 1 ? "node" : "nodes"} ${
      others.join(", ")
    }; a majority of them serves.\n`;
  return `Next, start it:\n${start}${rest}`;
}

/** What to type after a recovery. */
export function nextAfterRecover({ nodeId, address }: RecoverReport, dataDir: string): string {
  return `Next, start it, then add other nodes with empty folders and new ids:
  kvraft server --node-id ${nodeId} --bind ${address} --cluster ${nodeId}=${address} --data-dir ${
    shellWord(dataDir)
  }
  kvraft server --node-id <new> --bind <host:port> --join ${address}
  kvraft client --cluster ${address} member add <new> <host:port>
`;
}
