/** The command `members`. */
import type { ClusterStatus, NodeView } from "../../../client/types.ts";
import type { DiskState, Member, MemberRole, PeerStatus } from "../../../protocol/messages.ts";
import {
  diskNote,
  lagOf,
  leaderOf,
  type NodeState,
  peerOf,
  snapshotPercentOf,
  stateOf,
  stateText,
} from "../../cluster_view.ts";
import { type Answer, answer, defineCommand, withElapsed } from "../../command.ts";
import { callOptions } from "../../options.ts";
import { duration, escapeText, table, withThousands } from "../../text.ts";

/** A shorter time since the last contact is shown as now. */
const LATELY_MS = 1_000;

export const MEMBERS = defineCommand({
  name: "members",
  otherNames: ["nodes", "peers", "cluster"],
  summary: "the nodes of the cluster: role, address, state, lag, last contact, version",
  details: [
    "Roles: a voter counts; a learner receives everything and has no vote; one that is leaving still counts, until the",
    "change under way is done. State is as status tells it, seen from here. Lag and last contact are what the leader",
    "says, in entries of its log; none yet: it has not heard from the node since it was elected. ? is not known.",
  ],
  example: [
    "members",
    "node  address         role          state  lag  last contact  version",
    "n1    127.0.0.1:7001  voter, leads  up     0    now           0.1.0",
  ],
  async run(invocation, context): Promise<Answer> {
    const client = await context.client();
    const options = callOptions(invocation, context);
    const [members, status] = await Promise.all([
      client.cluster.members(options),
      client.cluster.status(options),
    ]);
    const rows = memberRows(members, status);
    return answer({
      text: (view) => ({ output: withElapsed(membersTable(rows), view), note: "" }),
      json: () => ({ members: rows.map(rowDocument) }),
    });
  },
});

/** One member. A field that only the leader or the node itself knows is null if neither answered. */
interface MemberRow {
  readonly id: number;
  readonly address: string;
  readonly role: MemberRole;
  readonly leads: boolean;
  readonly state: NodeState;
  /** State of its disk, from the node itself or else from its leader; null if neither reported it. */
  readonly disk: DiskState | null;
  /** Whether the leader reports its state. */
  readonly isWatched: boolean;
  /** Entries of the leader's log that it is not known to have; null before the first contact with the leader. */
  readonly lag: number | null;
  /** Time since its last contact with the leader; null if there was none since the election. */
  readonly lastContactMs: number | null;
  /** Version of its program. */
  readonly version: string | null;
  /** Percentage that it has of the snapshot that it is being sent; null if it is sent none. */
  readonly snapshotPercent: number | null;
}

/** Joins the list of members with the status of the nodes. */
function memberRows(members: readonly Member[], status: ClusterStatus): readonly MemberRow[] {
  const leader = leaderOf(status);
  return members.map(({ id, address, role }) => {
    const node = status.nodes.find((candidate) => candidate.id === id);
    const version = node?.reachable === true ? node.version : null;
    const state = node === undefined ? "unknown" : stateOf(node);
    const peer = peerOf(leader, id);
    const disk = diskOf(node, peer);
    const common = { id, address, role, state, disk, version, leads: leader?.id === id };
    if (leader?.id === id) {
      return { ...common, isWatched: true, lag: 0, lastContactMs: 0, snapshotPercent: null };
    }
    if (leader === null || peer === null) {
      return { ...common, isWatched: false, lag: null, lastContactMs: null, snapshotPercent: null };
    }
    return {
      ...common,
      isWatched: true,
      lag: peer.lastContactMs === null ? null : lagOf(peer, leader),
      lastContactMs: peer.lastContactMs,
      snapshotPercent: snapshotPercentOf(peer),
    };
  });
}

function diskOf(node: NodeView | undefined, peer: PeerStatus | null): DiskState | null {
  if (node?.reachable === true) return node.disk;
  if (peer === null || peer.hasDiskSpace === null) return null;
  return peer.hasDiskSpace ? "ok" : "nearlyFull";
}

/** Returns the members as a table. */
function membersTable(rows: readonly MemberRow[]): string {
  const header = ["node", "address", "role", "state", "lag", "last contact", "version"];
  const lines = table([
    header,
    ...rows.map((row) => [
      `n${row.id}`,
      escapeText(row.address),
      row.leads ? `${row.role}, leads` : row.role,
      `${stateText(row.state)}${diskNote(row.disk)}`,
      lagText(row),
      contactText(row),
      row.version === null ? "?" : escapeText(row.version),
    ]),
  ]);
  return lines.map((line) => `${line}\n`).join("");
}

function lagText({ lag, snapshotPercent }: MemberRow): string {
  if (snapshotPercent !== null) return `snapshot ${snapshotPercent}%`;
  return lag === null ? "?" : withThousands(lag);
}

function contactText({ isWatched, lastContactMs }: MemberRow): string {
  if (lastContactMs === null) return isWatched ? "none yet" : "?";
  return lastContactMs < LATELY_MS ? "now" : `${duration(lastContactMs)} ago`;
}

function rowDocument(
  { id, address, role, state, disk, lag, lastContactMs, version }: MemberRow,
): unknown {
  return { id, address, role, state, disk, lag, lastContactMs, version };
}
