/** Mutants of the front end for etcd's clients beside its services: rights, members, health and counts. */
import { tests } from "../checks.ts";
import { inFile, type Mutant } from "../mutant.ts";

const RIGHTS = tests("front end rights", "tests/unit/server/auth/front_end_rights_test.ts");
const URLS = tests("etcd urls", "tests/unit/server/membership/etcd_urls_test.ts");
const GATE = tests("history gate", "tests/unit/etcd/history_gate_test.ts");
const HEALTH = tests("etcd health", "tests/unit/etcd/health_test.ts");

/** Mutants of the front end. */
export const ETCD_FRONT_END_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/etcd/history_gate.ts", [GATE], [
    {
      id: "M2901",
      title: "requests are not held until there is a history",
      failure: "a watch of a new cluster is cancelled as compacted from its first revision on",
      from: "return this.#isOpen ? action() : this.#wait(timeoutMs).then(action);",
      to: "return this.#isOpen || timeoutMs > 0 ? action() : this.#wait(timeoutMs).then(action);",
    },
  ]),
  ...inFile("lib/server/auth/connection_identity.ts", [RIGHTS], [
    {
      id: "M2700",
      title: "every connection within the process has the rights of Deno KV's front end",
      failure: "with authentication enabled, a client of etcd without a token writes to databases",
      from: 'return this.inProcess === "databases";',
      to: "return this.inProcess !== null;",
    },
  ]),
  ...inFile("lib/server/membership/etcd_urls.ts", [URLS], [
    {
      id: "M2701",
      title: "a probe says where its node serves etcd's clients",
      failure: "after each change of membership, clients are sent to no node",
      from: 'if (lane === "probe") return;',
      to: "",
    },
    {
      id: "M2702",
      title: "the URL of a node that does not serve etcd's clients any more stays",
      failure: "clients dial a port that nothing listens on",
      from: "this.#urls.delete(nodeId);",
      to: "",
    },
    {
      id: "M2703",
      title: "a node that listens on all addresses says so to clients",
      failure: "clients dial 0.0.0.0",
      from: "isDialable(etcd) ? etcd :",
      to: "!isDialable(etcd) ? etcd :",
    },
  ]),
  ...inFile("lib/etcd/health.ts", [HEALTH], [
    {
      id: "M2704",
      title: "the alarm is raised when the quota is exceeded",
      failure: "the leader refuses what would exceed it, so writes fail without an alarm",
      from: "return stateBytes > quotaBytes - spare;",
      to: "return stateBytes > quotaBytes;",
    },
    {
      id: "M2705",
      title: "an alarm that a probe excludes counts",
      failure: "a load balancer takes a node away that can be read",
      from: "find((name) => !excluded.includes(name))",
      to: "find((name) => !excluded.includes(`-${name}`))",
    },
    {
      id: "M2706",
      title: "a node without a leader is healthy",
      failure: "clients are sent to a node that is cut off",
      from: 'if (node.view().leader === 0n) return "RAFT NO LEADER";',
      to: "if (node.view().leader === 0n) return null;",
    },
  ]),
  ...inFile(
    "lib/etcd/maintenance/health_watch.ts",
    [tests("health", "tests/unit/etcd/health_watch_test.ts")],
    [
      {
        id: "M2937",
        title: "the health is sent at every check",
        failure: "clients get a message a second that says nothing new",
        from: "if (status !== this.#status) {",
        to: "if (status !== null) {",
      },
    ],
  ),
];
