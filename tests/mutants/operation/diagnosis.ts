/** Mutants of the diagnosis: the reports of nodes, and the rules of doctor. */
import { CLI, DIAGNOSIS, SERVER } from "../checks.ts";
import { inFile, type Mutant } from "../mutant.ts";

export const DIAGNOSIS_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/server/diagnostics/diagnostics.ts", [SERVER], [
    {
      id: "M2975",
      title: "a node reports itself to nodes that are no members",
      failure: "a program that can dial the port reads settings and addresses without being a node",
      from: "if (members().some(({ id }) => id === from)) send(",
      to: "send(",
    },
    {
      id: "M2976",
      title: "the answer of another node than the one asked is taken",
      failure: "one member answers in place of another, and a dead node seems to be up",
      from: "if (question?.member.id !== from) return;",
      to: "if (question === undefined) return;",
    },
    {
      id: "M2977",
      title: "the difference of clocks is measured to the beginning of the exchange",
      failure: "a slow link looks like a wrong clock",
      from: "(askedAtWallMs + roundTripMs / 2)",
      to: "askedAtWallMs",
    },
  ]),
  ...inFile("lib/server/diagnostics/state_events.ts", [SERVER], [
    {
      id: "M3020",
      title: "changes that the log had at the start are logged again",
      failure: "after each restart a node reports members that were added and removed long ago",
      from: "const isNews = replica.appliedIndex > recoveredIndex;",
      to: "const isNews = replica.appliedIndex > recoveredIndex - 1;",
    },
    {
      id: "M3021",
      title: "a quota is left before the refused write fits",
      failure: "the log alternates between reached and left while clients are refused",
      from: "if (bytes + this.#refusedBytes > quotaBytes) return;",
      to: "if (bytes > quotaBytes) return;",
    },
  ]),
  ...inFile("lib/server/disk_space_monitor.ts", [SERVER], [
    {
      id: "M3140",
      title: "a full disk has space when no file can be opened",
      failure: "a node without descriptors says that its full disk has space again",
      from: "if (isDiskFull(error)) this.#isFull = true;",
      to: "this.#isFull = isDiskFull(error);",
    },
    {
      id: "M3141",
      title: "the small file that finds no space stays",
      failure: "the last bytes of a full disk are taken by the file that looks for them",
      from:
        "  try {\n    file.write(PROBE, 0);\n  } finally {\n    file.close();\n    disk.remove(path);\n  }",
      to: "  file.write(PROBE, 0);\n  file.close();\n  disk.remove(path);",
    },
    {
      id: "M3142",
      title: "an idle node writes its small file as often as a busy one",
      failure: "the disk of an idle machine never rests",
      from: "? CHECKS_PER_IDLE_PROBE : CHECKS_PER_PROBE",
      to: "? CHECKS_PER_PROBE : CHECKS_PER_PROBE",
    },
  ]),
  ...inFile("lib/server/node.ts", [SERVER], [
    {
      id: "M3143",
      title: "a leader whose disk has no space for a small file gives up leadership at once",
      failure: "leadership moves, though the log still has space that it has reserved",
      from: "hasDiskSpace: () => !driver.isDiskFull && !start.log.isNearlyFull,",
      to: 'hasDiskSpace: () => this.description.disk === "ok",',
    },
  ]),
  ...inFile("lib/server/leadership.ts", [SERVER], [
    {
      id: "M3022",
      title: "a leader that learns of its successor at once does not say that it stepped down",
      failure: "after a pause the log of the old leader has no line about the loss of its lead",
      from: "const isOver = before.leader !== null && before.leader !== leader;",
      to: "const isOver = before.leader !== null && leader === null;",
    },
  ]),
  ...inFile("lib/diagnosis/rules/reachability.ts", [DIAGNOSIS], [
    {
      id: "M2978",
      title: "half of the voters counts as a majority",
      failure: "doctor calls a cluster of four with two dead voters fit to write",
      from: "margin: working.length - Math.floor(voters.length / 2) - 1",
      to: "margin: working.length - Math.ceil(voters.length / 2)",
    },
    {
      id: "M2979",
      title: "only the sender is asked whether a link is up",
      failure: "a link that is cut silently is found after seconds, or never",
      from: "return sends && (hears === undefined || isHeard(hears));",
      to: "return sends;",
    },
    {
      id: "M3070",
      title: "a voter that only other nodes reach counts as dead",
      failure: "doctor reports the loss of a majority where one link of this client is down",
      from: "cluster.answered.has(id) || hearingFrom(cluster, id).length > 0",
      to: "cluster.answered.has(id)",
    },
    {
      id: "M3071",
      title: "doctor says of a node that a majority is left when there is none",
      failure: "an operator reads that the cluster tolerates fewer failures while nothing can be written",
      from: "if (margin < 0) {",
      to: "if (margin < -9) {",
    },
  ]),
  ...inFile("lib/cli/commands/cluster/top_view.ts", [CLI], [
    {
      id: "M3116",
      title: "top asks each node only for itself about clocks",
      failure: "top shows a healthy cluster while a clock is wrong by minutes",
      from: '{ kind: "answered", id, address, members }',
      to: '{ kind: "answered", id, address, members: [member] }',
    },
    {
      id: "M2981",
      title: "rates are made over a restart",
      failure: "a node that restarted shows a rate of millions, or of zero, for one interval",
      from: "before.startedAtMs !== report.startedAtMs || ",
      to: "",
    },
  ]),
  ...inFile("lib/cli/shell/screen.ts", [CLI], [
    {
      id: "M2982",
      title: "the terminal stays on the alternate screen",
      failure: "after top the user's terminal shows neither cursor nor what was there before",
      from: "output.write(LEAVE);",
      to: "",
    },
  ]),
  ...inFile("lib/server/metrics/latency_window.ts", [SERVER], [
    {
      id: "M2980",
      title: "a window never ends",
      failure: "a disk that was slow once is reported as slow from then on",
      from: "this.#before = this.#begin;",
      to: "",
    },
  ]),
  ...inFile("lib/diagnosis/finding.ts", [DIAGNOSIS], [
    {
      id: "M3110",
      title: "a node that this client cannot reach is not looked at",
      failure: "doctor says nothing of the full disk of a node that refuses its connection",
      from: '(kind === "silent" || one.by === id)',
      to: "one.by === id",
    },
  ]),
  ...inFile("lib/diagnosis/rules/machines.ts", [DIAGNOSIS], [
    {
      id: "M3111",
      title: "clocks are compared with the leader's only",
      failure: "a leader with a wrong clock makes doctor accuse all other nodes",
      from: "measured.length < 3",
      to: "measured.length > 0",
    },
    {
      id: "M3112",
      title: "the clock of the node with the lowest one is the right one",
      failure: "a clock that is behind makes doctor accuse all other nodes",
      from: "measured[Math.floor(measured.length / 2)]",
      to: "measured[0]",
    },
  ]),
  ...inFile("lib/diagnosis/rules/reachability.ts", [DIAGNOSIS], [
    {
      id: "M3113",
      title: "every node that was connected often has restarted",
      failure: "doctor sends an operator to a log without restarts, while the network loses connections",
      from: "const mayHaveRestarted = uptimeMs < oldestMs;",
      to: "const mayHaveRestarted = true;",
    },
    {
      id: "M3114",
      title: "a node that does not answer did not restart",
      failure: "doctor blames the network for a node that ends right after each start",
      from: "report.uptimeMs ?? 0;",
      to: "report.uptimeMs ?? Infinity;",
    },
  ]),
  ...inFile("lib/server/status_page/page/model.js", [SERVER], [
    {
      id: "M3115",
      title: "the status page compares clocks with its own node's only",
      failure: "the page of a node with a wrong clock accuses all other nodes",
      from: "measured.length < 3",
      to: "measured.length > 0",
    },
  ]),
];
