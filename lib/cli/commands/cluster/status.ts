/** The command `status`. */
import type { ClusterStatus, NodeView } from "../../../client/types.ts";
import type { PeerAuthenticatedBy } from "../../../protocol/messages.ts";
import { diskNote, stateOf, stateText } from "../../cluster_view.ts";
import { type Answer, answer, defineCommand, withElapsed } from "../../command.ts";
import { callOptions } from "../../options.ts";
import { ExitCode } from "../../errors.ts";
import { escapeText, table } from "../../text.ts";

export const STATUS = defineCommand({
  name: "status",
  otherNames: ["info", "leader", "ping"],
  summary: "who leads, and how each node is",
  details: [
    "Asks each node itself. unreachable: no connection to it could be had; not answering: nothing came from it in time,",
    "as when its process or machine is stopped. Where nodes are authenticated, a line says how: by certificate, or by",
    "the peer secret. Ends with 3 when there is no leader.",
  ],
  example: [
    "status",
    "leader n1, term 4, feature level 2",
    "node  address         role      term  commit  applied  version",
    "n1    127.0.0.1:7001  leader    4     1234    1234     0.1.0",
  ],
  async run(invocation, context): Promise<Answer> {
    const client = await context.client();
    const status = await client.cluster.status(callOptions(invocation, context));
    const { leader, term, nodes } = status;
    const featureLevel = featureLevelOf(nodes);
    return answer({
      text: (view) => ({ output: withElapsed(statusTable(status), view), note: "" }),
      json: () => ({ leader, term, featureLevel, nodes: nodes.map(nodeDocument) }),
      exitCode: leader === null ? ExitCode.unavailable : ExitCode.done,
    });
  },
});

/** Returns the feature level of the newest state among the nodes that answered; null if none did. */
function featureLevelOf(nodes: readonly NodeView[]): number | null {
  const levels = nodes.flatMap((node) => node.reachable ? [node.featureLevel] : []);
  return levels.length === 0 ? null : Math.max(...levels);
}

function statusTable({ leader, term, nodes }: ClusterStatus): string {
  const header = ["node", "address", "role", "term", "commit", "applied", "version"];
  const level = featureLevelOf(nodes);
  const first = [
    leader === null ? "no leader" : `leader n${leader}`,
    `term ${term}`,
    ...level === null ? [] : [`feature level ${level}`],
  ].join(", ");
  const reasons = nodes.flatMap((node) =>
    node.reachable ? [] : [`${nodeName(node)}: ${escapeText(node.reason)}`]
  );
  const rows = table([header, ...nodes.map(statusRow)]);
  return [first, ...rows, ...reasons, ...authenticationLine(nodes)].map((line) => `${line}\n`).join("");
}

/** How nodes are authenticated, the strongest first. */
const AUTHENTICATIONS = Object.keys(
  { certificate: true, secret: true, none: true } satisfies Record<PeerAuthenticatedBy, true>,
);

/** Returns the line on how the nodes are authenticated to each other; none where no node is. */
function authenticationLine(nodes: readonly NodeView[]): readonly string[] {
  const least = new Map<string, PeerAuthenticatedBy>();
  for (const node of nodes) {
    for (const { id, authenticatedBy } of node.reachable ? node.links : []) {
      const pair = [Number(node.id), id].sort((a, b) => a - b).map((one) => `n${one}`).join("-");
      const known = least.get(pair) ?? authenticatedBy;
      // Each of the two says how the connections between them are authenticated, as it knows them.
      const isLess = AUTHENTICATIONS.indexOf(authenticatedBy) > AUTHENTICATIONS.indexOf(known);
      least.set(pair, isLess ? authenticatedBy : known);
    }
  }
  const pairs = [...least].sort(([a], [b]) => a < b ? -1 : 1);
  const parts = AUTHENTICATIONS.flatMap((by) => {
    const found = pairs.filter(([, one]) => one === by).map(([pair]) => pair);
    return found.length === 0 ? [] : [found.length === pairs.length ? by : `${by} (${found.join(", ")})`];
  });
  return parts.length === 0 || parts[0] === "none" ? [] : [`nodes authenticated by: ${parts.join(", ")}`];
}

function statusRow(node: NodeView): string[] {
  const name = nodeName(node);
  const address = escapeText(node.address);
  if (!node.reachable) return [name, address, stateText(node.state)];
  const numbers = [node.term, node.commitIndex, node.appliedIndex].map(String);
  return [name, address, `${node.role}${diskNote(node.disk)}`, ...numbers, escapeText(node.version)];
}

function nodeName({ id }: NodeView): string {
  return id === null ? "?" : `n${id}`;
}

/** The fields of a node that answered; of one that did not, each of them is null. */
const ANSWERED_FIELDS = [
  "disk",
  "term",
  "commitIndex",
  "appliedIndex",
  "version",
  "featureLevel",
  "lastLogIndex",
  "firstLogIndex",
  "snapshotIndex",
  "keys",
  "stateBytes",
] as const;

function nodeDocument(node: NodeView): unknown {
  const { id, address, reachable } = node;
  const [role, reason] = node.reachable ? [node.role, null] : [null, node.reason];
  const answered = ANSWERED_FIELDS.map((name) => [name, node.reachable ? node[name] : null]);
  const links = node.reachable ? node.links : null;
  return {
    id,
    address,
    role,
    reachable,
    state: stateOf(node),
    reason,
    ...Object.fromEntries(answered),
    links,
  };
}
