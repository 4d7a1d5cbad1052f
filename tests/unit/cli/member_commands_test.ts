/** `member …` and `members`: requests to the cluster, progress, and answers. */
import { assert, assertEquals } from "@std/assert";
import { FakeStore, healthy, peer } from "./support/fake_store.ts";
import { FakeEnvironment } from "./support/fake_environment.ts";
import { clientCommand } from "../../../lib/cli/client.ts";
import { ConnectionError, MembershipRefusedError } from "../../../lib/client/errors.ts";
import type { ClusterStatus } from "../../../lib/client/types.ts";
import type { Member, MemberRole, PeerStatus } from "../../../lib/protocol/messages.ts";
import { settle } from "../../support/fakes/manual_clock.ts";

const CLUSTER = ["--cluster", "127.0.0.1:7001"];
const MAJORITY = "4 voters: the cluster serves while 3 of them do.\n";

/** Members 1, 2, … with these roles. */
function members(...roles: readonly MemberRole[]): readonly Member[] {
  return roles.map((role, position) => ({ id: position + 1, address: `127.0.0.1:700${position + 1}`, role }));
}

/** Node 2 leads and knows of these. */
function ledBy2(...peers: readonly PeerStatus[]): ClusterStatus {
  const leader = healthy(2, "leader");
  assert(leader.reachable);
  return { leader: 2, term: 5, nodes: [healthy(1, "follower"), { ...leader, lastLogIndex: 1_500, peers }] };
}

interface Begun {
  readonly environment: FakeEnvironment;
  readonly store: FakeStore;
  readonly code: Promise<number>;
  /** Returns the text on the terminal since the last call, without control sequences. */
  said(): string;
}

function begin(args: readonly string[], { terminal = true } = {}): Begun {
  const environment = new FakeEnvironment({ terminal });
  const store = new FakeStore();
  store.memberList = members("voter", "voter", "voter");
  store.clusterStatus = ledBy2(peer(1), peer(3));
  let seen = 0;
  const said = (): string => {
    const text = environment.stderr.text.slice(seen);
    seen = environment.stderr.text.length;
    return text.replaceAll("\r\x1b[2K", "|");
  };
  const code = clientCommand([...CLUSTER, ...args], { environment, connect: () => Promise.resolve(store) });
  return { environment, store, code, said };
}

async function run(
  args: readonly string[],
  prepare: (store: FakeStore) => void,
): Promise<readonly unknown[]> {
  const { environment, store, code } = begin(args, { terminal: false });
  prepare(store);
  return [await code, environment.stdout.text, environment.stderr.text, ...store.changes];
}

Deno.test("member: each change is requested as typed, and answered when it is complete", async () => {
  const force = false;
  const table: readonly (readonly [string, readonly Member[], string, unknown])[] = [
    [
      "member add n4 LOCALHOST:7004 --learner",
      members("voter", "voter", "voter", "learner"),
      "n4 is a learner: it receives everything and has no vote. member promote 4 gives it one.\n",
      { kind: "add", id: 4, address: "localhost:7004", learner: true, force },
    ],
    [
      "member add 4 [::1]:7004",
      members("voter", "voter", "voter", "voter"),
      `n4 votes now. ${MAJORITY}`,
      { kind: "add", id: 4, address: "[::1]:7004", learner: false, force },
    ],
    ["member promote 4", members("voter", "voter", "voter", "voter"), `n4 votes now. ${MAJORITY}`, {
      kind: "promote",
      id: 4,
      force,
    }],
    [
      "member remove n2 --force",
      members("voter"),
      "n2 is removed. 1 voter: the cluster serves while that one does.\n",
      {
        kind: "remove",
        id: 2,
        force: true,
      },
    ],
    [
      "member demote 3",
      members("voter", "voter", "learner"),
      "n3 is a learner now. 2 voters: the cluster serves while 2 of them do.\n",
      { kind: "demote", id: 3, force },
    ],
    [
      "member replace 4 3 127.0.0.1:7003",
      members("voter", "voter", "voter"),
      "n3 votes in the place of n4. 3 voters: the cluster serves while 2 of them do.\n",
      { kind: "replace", dead: 4, id: 3, address: "127.0.0.1:7003", force },
    ],
    ["member update 2 127.0.0.1:7002", members("voter", "voter"), "n2 is dialled at 127.0.0.1:7002 now.\n", {
      kind: "update",
      id: 2,
      address: "127.0.0.1:7002",
      force,
    }],
  ];
  for (const [line, outcome, sentence, change] of table) {
    const ended = await run(line.split(" "), (store) => store.memberList = outcome);
    assertEquals(ended, [0, `ok  ${sentence}`, "", change], line);
  }
});

Deno.test("member add: it shows the progress of the new node until it votes", async () => {
  const { environment, store, code, said } = begin(["member", "add", "4", "127.0.0.1:7004"]);
  store.memberList = members("voter", "voter", "voter", "learner");
  const look = async (...peers: readonly PeerStatus[]): Promise<string> => {
    store.clusterStatus = ledBy2(peer(1), peer(3), ...peers);
    environment.clock.advance(250);
    await settle();
    return said();
  };
  store.clusterStatus = ledBy2(peer(1), peer(3));
  await settle();
  const how = "; Ctrl-C stops waiting, not the change";
  assertEquals(said(), `|asking the leader …|the change is under way${how}`);
  const sending = {
    state: "snapshot",
    snapshotSentBytes: 12_300_000,
    snapshotTotalBytes: 27_000_000,
    hasDiskSpace: true,
  } as const;
  assertEquals(
    [
      await look(peer(4, { lastContactMs: null, matchIndex: 0, state: "probe" })),
      await look(peer(4, sending)),
      await look(peer(4, { matchIndex: 266 })),
      await look(peer(4, { matchIndex: 1_499 })),
      await look(peer(4, { matchIndex: 1_499, lastContactMs: 4_000 })),
      await look(peer(4, { matchIndex: 1_500 })),
    ],
    [
      `|n4 was not heard from yet; is it running?${how}`,
      `|n4 receives a snapshot: 45% of 27.0 MB${how}`,
      `|n4 is 1 234 entries behind${how}`,
      `|n4 is 1 entry behind${how}`,
      `|n4 was last heard from 4.0 s ago; is it running?${how}`,
      `|n4 has caught up and is about to vote${how}`,
    ].map((line) => line.length > 80 ? `${line.slice(0, 79)}…` : line),
  );
  store.memberList = members("voter", "voter", "voter", "voter");
  environment.clock.advance(250);
  assertEquals([await code, environment.stdout.text], [0, `ok  n4 votes now. ${MAJORITY}`]);
  assertEquals([environment.clock.timerCount, environment.listensForSignals, said().endsWith("|")], [
    0,
    false,
    true,
  ]);
});

Deno.test("member: Ctrl-C ends the wait with a note that the change continues, and with the members", async () => {
  const { environment, store, code } = begin(["member", "add", "4", "127.0.0.1:7004", "--output", "json"]);
  store.memberList = members("voter", "voter", "voter", "learner");
  await settle();
  environment.signal();
  assertEquals([await code, JSON.parse(environment.stdout.text)], [4, { members: store.memberList }]);
  assertEquals([environment.stderr.text, environment.clock.timerCount], ["", 0]);
  const text = begin(["member", "add", "4", "127.0.0.1:7004"]);
  text.store.memberList = store.memberList;
  await settle();
  text.environment.signal();
  assertEquals([await text.code, text.environment.stdout.text], [
    4,
    "Not waiting any longer; the change continues. members shows its progress.\n",
  ]);
});

Deno.test("member: --timeout-ms ends the wait, not the change", async () => {
  const { environment, store, code } = begin(["member", "promote", "3", "--timeout-ms", "600"]);
  store.memberList = members("voter", "voter", "learner");
  await settle();
  for (let look = 0; look < 3; look++) {
    environment.clock.advance(250);
    await settle();
  }
  assertEquals([await code, environment.stdout.text], [
    4,
    "The deadline passed; the change continues. members shows its progress.\n",
  ]);
  assertEquals(store.changes, [{ kind: "promote", id: 3, force: false, timeoutMs: 600 }]);
});

Deno.test("member: --timeout-ms is one deadline for the request and the wait", async () => {
  const { environment, store, code } = begin(["member", "promote", "3", "--timeout-ms", "600"], {
    terminal: false,
  });
  const startedAt = environment.clock.now();
  store.memberList = members("voter", "voter", "learner");
  store.onChange = () => Promise.resolve(environment.clock.advance(500));
  await settle();
  environment.clock.advance(100);
  assertEquals([await code, environment.clock.now() - startedAt], [4, 600]);
});

Deno.test("member: 30 s without any answer end the wait; a shorter silence does not", async () => {
  const { environment, store, code } = begin(["member", "promote", "3"], { terminal: false });
  store.memberList = members("voter", "voter", "learner");
  await settle();
  const answer = store.members.bind(store);
  store.members = () => Promise.reject(new ConnectionError("No node answers."));
  const pass = async (looks: number): Promise<void> => {
    for (let look = 0; look < looks; look++) {
      environment.clock.advance(250);
      await settle();
    }
  };
  await pass(100);
  store.members = answer;
  await pass(1);
  store.members = () => Promise.reject(new ConnectionError("No node answers."));
  await pass(119);
  assertEquals(environment.stderr.text, "");
  await pass(1);
  assertEquals([await code, environment.stderr.text], [
    4,
    "kvraft: The cluster accepted the change and then did not answer for 30.0 s; the change continues once it does. " +
    "members shows what became of n3. (No node answers.)\n",
  ]);
});

Deno.test("member add: a node that is removed meanwhile ends the wait", async () => {
  const { environment, store, code } = begin(["member", "add", "4", "127.0.0.1:7004"], { terminal: false });
  store.memberList = members("voter", "voter", "voter", "learner");
  store.clusterStatus = ledBy2(peer(1), peer(3), peer(4));
  await settle();
  store.memberList = members("voter", "voter", "voter");
  store.clusterStatus = ledBy2(peer(1), peer(3));
  environment.clock.advance(250);
  assertEquals([await code, environment.stderr.text], [
    1,
    "kvraft: n4 is not a member any more: it was removed meanwhile.\n",
  ]);
});

Deno.test("member: a refused change ends with 1 and the reason of the cluster", async () => {
  const ended = await run(["member", "remove", "2"], (store) => {
    store.onChange = () =>
      Promise.reject(new MembershipRefusedError("Cannot remove node 2: a change is under way."));
  });
  assertEquals(ended.slice(0, 3), [1, "", "kvraft: Cannot remove node 2: a change is under way.\n"]);
});

Deno.test("member: wrong arguments are refused before anything is sent", async () => {
  const table: readonly (readonly [string, string])[] = [
    [
      "member",
      "member needs a second word: add, remove, promote, demote, replace, update. Example: member add 4 10.0.0.4:7001",
    ],
    ["member ad 4", 'There is no command "member ad". Did you mean member add?'],
    [
      "member fly 4",
      'There is no command "member fly". There are add, remove, promote, demote, replace, update.',
    ],
    ["snapshot", "snapshot needs a second word: now, save. Example: snapshot now"],
    ["member add 0 h:1", '<n> must be an integer from 1 to 9007199254740991, not "0".'],
    ["member replace 2 n2 h:1", "member replace: the new node needs an id of its own: 2 is the dead one's."],
    [
      "member remove 2 --learner",
      "member remove has no option --learner; member add has. See help member remove.",
    ],
  ];
  for (const [line, message] of table) {
    assertEquals(await run(line.split(" "), () => {}), [2, "", `kvraft: ${message}\n`]);
  }
  const [code, , said] = await run(["member", "add", "4", "nowhere"], () => {});
  assertEquals([code, String(said).startsWith('kvraft: Cannot read the address "nowhere"')], [2, true]);
});

Deno.test("members: role, state, lag, last contact and version of each member, and ? for what is not known", async () => {
  const { environment, store, code } = begin(["members"]);
  store.memberList = [...members("voter", "voter", "leaving"), { id: 4, address: "h:1", role: "learner" }];
  const receiving = {
    state: "snapshot",
    snapshotSentBytes: 1,
    snapshotTotalBytes: 3,
    hasDiskSpace: true,
    lastContactMs: 2_500,
  } as const;
  store.clusterStatus = ledBy2(
    peer(1, { matchIndex: 266 }),
    peer(3, { lastContactMs: null, matchIndex: 0 }),
    peer(4, receiving),
  );
  const gone = { reachable: false, state: "unreachable", reason: "nothing listens there" } as const;
  store.clusterStatus = {
    ...store.clusterStatus,
    nodes: [...store.clusterStatus.nodes, { ...gone, id: 3, address: "127.0.0.1:7003" }],
  };
  assertEquals(await code, 0);
  assertEquals(environment.stdout.text.split("\n"), [
    "node  address         role          state        lag           last contact  version",
    "n1    127.0.0.1:7001  voter         up           1 234         now           0.1.0",
    "n2    127.0.0.1:7002  voter, leads  up           0             now           0.1.0",
    "n3    127.0.0.1:7003  leaving       unreachable  ?             none yet      ?",
    "n4    h:1             learner       ?            snapshot 33%  2.5 s ago     ?",
    "",
  ]);
});

Deno.test("members: without a leader they are still listed", async () => {
  const ended = await run(["members"], (store) => {
    store.memberList = members("voter");
    store.clusterStatus = { leader: null, term: 5, nodes: [healthy(1, "follower")] };
  });
  assertEquals(
    ended[1],
    "node  address         role   state  lag  last contact  version\n" +
      "n1    127.0.0.1:7001  voter  up     ?    ?             0.1.0\n",
  );
});
