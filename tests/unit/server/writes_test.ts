/** Writes: a write that is sent again while it is in progress stays one entry of the log, and every request is answered. */
import { assertEquals } from "@std/assert";
import { stampOf } from "../../support/server_state.ts";
import { type Command, MAX_COMMAND_BYTES, StateMachine } from "../../../lib/kv/mod.ts";
import { MAX_LEASE_KEYS } from "../../../lib/kv/leases/lease_command.ts";
import { decodeResult, encodeCommand } from "../../../lib/protocol/command.ts";
import { MAX_FRAME_BYTES } from "../../../lib/protocol/limits.ts";
import { MAX_WAITING_RANGE_KEYS } from "../../../lib/server/write_admission.ts";
import { settle } from "../../support/fakes/manual_clock.ts";
import { paddedCommand } from "../../support/padded_command.ts";
import { put, WritesBench } from "../../support/fakes/writes_bench.ts";

const NOT_RAISED = "the leader has not raised the feature level of the cluster yet. Try again.";

Deno.test("Writes: a leader refuses a transaction with branches until the cluster has feature level 2", async () => {
  const bench = await WritesBench.leading();
  const write = (): void =>
    bench.submit(
      encodeCommand({ kind: "branchingTransaction", session: null, conditions: [], then: [], else: [] }),
      (answer) =>
        void bench.answers.push(answer.kind === "error" ? answer.message : decodeResult(answer.result).kind),
    );
  write();
  assertEquals(bench.commands, 0);
  bench.driver.ask((raft) => raft.propose(encodeCommand({ kind: "raiseFeatureLevel", level: 2 })));
  bench.submit(put(1), bench.answerTo("put"));
  await bench.drain();
  write();
  await bench.drain();
  assertEquals(bench.answers, [
    `Cannot apply a transaction with branches: ${NOT_RAISED}`,
    "put: applied",
    "executed",
  ]);
});

Deno.test("Writes: a leader refuses leases and expiring puts until the cluster has feature level 2", async () => {
  const bench = await WritesBench.leading();
  const key = new TextEncoder().encode("k");
  const commands: readonly Command[] = [
    { kind: "grantLease", session: stampOf(1), leaseId: 7, ttlMs: 5_000 },
    { kind: "keepLeasesAlive", leaseIds: [7] },
    {
      kind: "transaction",
      session: stampOf(2),
      checks: [],
      mutations: [{ kind: "expiringPut", key, value: key, leaseId: 7, expiresAtMs: null }],
    },
    { kind: "revokeLease", session: stampOf(3), leaseId: 7 },
  ];
  const writeAll = (): void => {
    for (const command of commands) {
      bench.submit(
        encodeCommand(command),
        (answer) =>
          void bench.answers.push(answer.kind === "error" ? answer.code : decodeResult(answer.result).kind),
      );
    }
  };
  writeAll();
  assertEquals(bench.answers.splice(0), commands.map(() => "noLeader"));
  assertEquals(bench.commands, 0);
  await bench.raiseFeatureLevel();
  writeAll();
  await bench.drain();
  assertEquals(bench.answers, ["leaseGranted", "leasesKeptAlive", "applied", "leaseRevoked"]);
  await bench.driver.stop();
});

Deno.test("Writes: a leader that cannot count the log's time starts no lease's time, and makes other writes", async () => {
  const bench = await WritesBench.leading();
  await bench.raiseFeatureLevel();
  bench.countsTime = false;
  const grant = encodeCommand({ kind: "grantLease", session: stampOf(1), leaseId: 7, ttlMs: 5_000 });
  const keepAlive = encodeCommand({ kind: "keepLeasesAlive", leaseIds: [7] });
  const codes: unknown[] = [];
  for (const command of [grant, keepAlive]) {
    bench.submit(
      command,
      (answer) => codes.push(answer.kind === "error" && [answer.code, answer.outcome]),
    );
  }
  assertEquals(codes, [["noLeader", "not-applied"], ["noLeader", "not-applied"]]);
  bench.submit(
    encodeCommand({ kind: "revokeLease", session: stampOf(2), leaseId: 7 }),
    bench.answerTo("revoke"),
  );
  bench.submit(put(3), bench.answerTo("put"));
  await bench.drain();
  assertEquals(bench.answers, ["revoke: leaseFailed", "put: applied"]);
  await bench.driver.stop();
});

Deno.test("Writes: a grant sent again while it is in progress is one entry, also at a busy leader", async () => {
  const bench = await WritesBench.leading();
  await bench.raiseFeatureLevel();
  const before = bench.commands;
  const grant = encodeCommand({ kind: "grantLease", session: stampOf(1), leaseId: 7, ttlMs: 5_000 });
  bench.submit(grant, bench.answerTo("first"));
  bench.submitForwarded(grant, bench.answerTo("again"));
  for (let number = 1; number < 8_192; number++) bench.submit(put(null), () => {});
  bench.submit(grant, bench.answerTo("while busy"));
  await bench.drain();
  assertEquals(bench.answers, ["first: leaseGranted", "again: leaseGranted", "while busy: leaseGranted"]);
  assertEquals(bench.commands - before, 8_192);
  await bench.driver.stop();
});

Deno.test("Writes: revokes wait with so many keys of their leases in all, and are accepted again when they are done", async () => {
  const bench = await WritesBench.leading();
  await bench.raiseFeatureLevel();
  const submit = (command: Command, name: string): void =>
    bench.submit(encodeCommand(command), bench.answerTo(name));
  submit({ kind: "grantLease", session: null, leaseId: 7, ttlMs: 5_000 }, "grant");
  const value = new Uint8Array(0);
  for (let first = 0; first < MAX_LEASE_KEYS; first += 125) {
    const mutations = Array.from({ length: 125 }, (_, position) => {
      const key = new TextEncoder().encode(`${first + position}`);
      return { kind: "expiringPut", key, value, leaseId: 7, expiresAtMs: null } as const;
    });
    submit({ kind: "transaction", session: null, checks: [], mutations }, "put");
  }
  await bench.drain();
  assertEquals(bench.replica.stateMachine.lease(7)?.keyCount, MAX_LEASE_KEYS);
  bench.answers.length = 0;
  const revoke = { kind: "revokeLease", session: null, leaseId: 7 } as const;
  const accepted = Math.floor(MAX_WAITING_RANGE_KEYS / MAX_LEASE_KEYS);
  for (let number = 0; number <= accepted; number++) submit(revoke, `${number}`);
  assertEquals(bench.answers, [`${accepted}: not-applied`]);
  await bench.drain();
  submit(revoke, "later");
  await bench.drain();
  assertEquals([bench.answers[1], bench.answers.at(-1)], ["0: leaseRevoked", "later: leaseFailed"]);
  await bench.driver.stop();
});

Deno.test("Writes: a leader that refuses writes as too many keeps leases alive, up to a bound of their own", async () => {
  const bench = await WritesBench.leading();
  await bench.raiseFeatureLevel();
  const keepAlive = encodeCommand({ kind: "keepLeasesAlive", leaseIds: [7] });
  for (let number = 0; number < 8_192; number++) bench.submit(put(null), () => {});
  bench.submit(put(null), bench.answerTo("put"));
  for (let number = 1; number <= 1_025; number++) {
    bench.submitForwarded(keepAlive, bench.answerTo(`${number}`));
  }
  assertEquals(bench.answers, ["put: not-applied", "1025: not-applied"]);
  await bench.drain();
  assertEquals([bench.answers.length, bench.answers[2]], [1_026, "1: leasesKeptAlive"]);
  for (let number = 0; number < 1_024; number++) bench.submit(put(null), () => {});
  bench.clock.advance(300);
  bench.submit(put(null), bench.answerTo("put while the oldest waits for long"));
  bench.submit(keepAlive, bench.answerTo("keep-alive"));
  await bench.drain();
  assertEquals(bench.answers.slice(1_026), [
    "put while the oldest waits for long: not-applied",
    "keep-alive: leasesKeptAlive",
  ]);
  await bench.driver.stop();
});

Deno.test("Writes: the bound on a command counts all its bytes, also fields that this version does not know", async () => {
  const bench = await WritesBench.leading();
  const key = new TextEncoder().encode("k");
  const mutations = [{ kind: "put", key, value: key }] as const;
  const padded = (bytes: number): Uint8Array =>
    paddedCommand({ kind: "transaction", session: null, checks: [], mutations }, bytes);
  bench.submit(padded(MAX_COMMAND_BYTES + 1), (answer) => {
    assertEquals(answer.kind === "error" && [answer.code, answer.outcome, answer.message], [
      "invalidRequest",
      "not-applied",
      "Cannot write a command of 8388609 bytes: at most 8388608 are allowed. Split it into smaller ones.",
    ]);
    bench.answers.push("from a client: refused");
  });
  bench.submitForwarded(padded(MAX_FRAME_BYTES - 100), bench.answerTo("passed on"));
  bench.submit(padded(MAX_COMMAND_BYTES), bench.answerTo("the largest"));
  await settle();
  await bench.log.endSync();
  assertEquals(bench.answers, ["from a client: refused", "passed on: not-applied", "the largest: applied"]);
  assertEquals(bench.log.entries.map(({ data }) => data.length), [0, MAX_COMMAND_BYTES]);
});

Deno.test("Writes: a write sent again while it is in progress, directly or forwarded, is one entry and answered each time", async () => {
  const bench = await WritesBench.leading();
  bench.submit(put(1), bench.answerTo("first"));
  bench.submit(put(1), bench.answerTo("again"));
  await settle();
  bench.submitForwarded(put(1), bench.answerTo("passed on"));
  await settle();
  assertEquals({ commands: bench.commands, answers: bench.answers }, { commands: 1, answers: [] });
  await bench.log.endSync();
  assertEquals(bench.answers, ["first: applied", "again: applied", "passed on: applied"]);
  assertEquals(bench.commands, 1);
  await bench.driver.stop();
});

Deno.test("Writes: writes with other numbers, or without a session, are separate entries", async () => {
  const bench = await WritesBench.leading();
  for (const sequence of [1, 2, null, null]) {
    bench.submit(put(sequence), bench.answerTo(`${sequence}`));
  }
  await settle();
  await bench.log.endSync();
  assertEquals(bench.commands, 4);
  assertEquals(bench.answers, ["1: applied", "2: applied", "null: applied", "null: applied"]);
  await bench.driver.stop();
});

Deno.test("Writes: a write sent again after it ended is proposed again: the state machine knows the answer", async () => {
  const bench = await WritesBench.leading();
  for (const name of ["first", "again"]) {
    bench.submit(put(1), bench.answerTo(name));
    await settle();
    await bench.log.endSync();
  }
  assertEquals({ commands: bench.commands, revision: bench.replica.stateMachine.revision }, {
    commands: 2,
    revision: 1,
  });
  assertEquals(bench.answers, ["first: applied", "again: applied"]);
  await bench.driver.stop();
});

Deno.test("Writes: when the leadership is lost, every request that waits for the write gets an unknown outcome", async () => {
  const bench = await WritesBench.leading();
  bench.submit(put(1), bench.answerTo("first"));
  bench.submit(put(1), bench.answerTo("again"));
  bench.replica.abandonWrites(null);
  assertEquals(bench.answers, ["first: unknown", "again: unknown"]);
  bench.submit(put(1), bench.answerTo("later"));
  await settle();
  await bench.log.endSync();
  assertEquals(bench.answers, ["first: unknown", "again: unknown", "later: applied"]);
  await bench.driver.stop();
});

Deno.test("Writes: a leader with too many writes in progress answers busy at once, and accepts writes again when they are done", async () => {
  const bench = await WritesBench.leading();
  for (let number = 0; number < 8_192; number++) bench.submit(put(null), () => {});
  bench.submit(put(null), bench.answerTo("one too many"));
  assertEquals(bench.answers, ["one too many: not-applied"]);
  await bench.drain();
  bench.submit(put(null), bench.answerTo("later"));
  await bench.drain();
  assertEquals(bench.answers, ["one too many: not-applied", "later: applied"]);
  await bench.driver.stop();
});

Deno.test("Writes: a leader whose oldest write has waited for long answers busy to all above a thousand others", async () => {
  const bench = await WritesBench.leading();
  for (let number = 0; number < 1_023; number++) bench.submit(put(null), () => {});
  bench.clock.advance(300);
  bench.submit(put(null), bench.answerTo("last of few"));
  bench.submit(put(null), bench.answerTo("one too many"));
  assertEquals(bench.answers, ["one too many: not-applied"]);
  await bench.drain();
  for (let number = 0; number < 2_000; number++) bench.submit(put(null), () => {});
  bench.submit(put(null), bench.answerTo("in time"));
  await bench.drain();
  assertEquals(bench.answers, ["one too many: not-applied", "last of few: applied", "in time: applied"]);
  await bench.driver.stop();
});

Deno.test("Writes: a leader with too many writes in progress never reports one of them as not applied", async () => {
  const bench = await WritesBench.leading();
  bench.submit(put(1), bench.answerTo("first"));
  for (let number = 1; number < 8_192; number++) bench.submit(put(null), () => {});
  bench.submit(put(1), bench.answerTo("again"));
  bench.submitForwarded(put(1), bench.answerTo("passed on"));
  bench.submit(put(2), bench.answerTo("another"));
  bench.submit(new Uint8Array([0x94, 0x01]), bench.answerTo("no command"));
  assertEquals(bench.answers, ["another: not-applied", "no command: not-applied"]);
  assertEquals([put(1), put(2), put(null)].map((bytes) => bench.writes.isInProgress(bytes)), [
    true,
    false,
    false,
  ]);
  await bench.drain();
  assertEquals(bench.answers.slice(2), ["first: applied", "again: applied", "passed on: applied"]);
  assertEquals(bench.commands, 8_192);
  await bench.driver.stop();
});

Deno.test("Writes: a retry waits for its first attempt also when this node has just lost the leadership", async () => {
  const bench = await WritesBench.leading();
  bench.submit(put(1), bench.answerTo("first"));
  await settle();
  bench.driver.step({ kind: "heartbeat", from: 2, to: 1, term: 9, leaderCommit: 0, round: 1 });
  bench.submit(put(1), bench.answerTo("again"));
  bench.replica.abandonWrites(null);
  assertEquals(bench.answers, ["first: unknown", "again: unknown"]);
  await bench.log.endSync();
  await bench.log.endSync();
  await bench.driver.stop();
});

Deno.test("Writes: a retry of a forwarded write waits for it, even where this node would refuse it", async () => {
  const bench = await WritesBench.leading();
  const elsewhere = (sequence: number, name: string): void =>
    bench.forwarding.forward(2, { bytes: put(sequence), stamp: stampOf(sequence) }, bench.answerTo(name));
  elsewhere(1, "first");
  for (let number = 0; number < 8_192; number++) bench.submit(put(null), () => {});
  bench.submit(put(1), bench.answerTo("while busy"));
  bench.submit(put(2), bench.answerTo("another"));
  assertEquals([bench.answers, bench.writes.isInProgress(put(1))], [["another: not-applied"], true]);
  // A term without a known leader begins.
  bench.driver.step({
    kind: "requestVote",
    from: 2,
    to: 1,
    term: 9,
    lastLogIndex: 99_999,
    lastLogTerm: 8,
    leadershipTransfer: true,
  });
  bench.submit(put(1), bench.answerTo("without a leader"));
  bench.submit(put(2), bench.answerTo("another"));
  assertEquals(bench.answers.slice(1), ["another: not-applied"]);
  bench.forwarding.close();
  assertEquals(bench.answers.slice(2), [
    "first: unknown",
    "while busy: unknown",
    "without a leader: unknown",
  ]);
  assertEquals(bench.writes.isInProgress(put(1)), false);
  await bench.log.endSync();
  await bench.log.endSync();
  await bench.driver.stop();
});

Deno.test("Writes: a leader refuses to compact at feature level 1, and above the present revision", async () => {
  const bench = await WritesBench.leading();
  const refusals: unknown[] = [];
  const compact = (revision: number): void =>
    bench.submitForwarded(encodeCommand({ kind: "compact", revision }), (answer) => {
      refusals.push(answer.kind === "error" ? [answer.code, answer.message, answer.outcome] : answer.kind);
    });
  compact(0);
  bench.driver.ask((raft) => raft.propose(encodeCommand({ kind: "raiseFeatureLevel", level: 2 })));
  await bench.log.endSync();
  await bench.log.endSync();
  assertEquals(bench.replica.stateMachine.featureLevel, 2);
  compact(1);
  assertEquals(refusals, [
    ["noLeader", `Cannot use the history: ${NOT_RAISED}`, "not-applied"],
    ["futureRevision", "Cannot use revision 1: revision 1 is above the present one, 0.", "not-applied"],
  ]);
  bench.submitForwarded(put(null), bench.answerTo("put"));
  await bench.drain();
  compact(1);
  await bench.drain();
  assertEquals([refusals[2], bench.replica.stateMachine.compactedRevision], ["result", 1]);
  await bench.driver.stop();
});

Deno.test("Writes: a new leader that has not applied all entries leaves the revision of a compaction to the state machine", async () => {
  const bench = await WritesBench.elected(StateMachine.restore([["header", 0, 0, 0, 0, 2, 0]]));
  bench.submitForwarded(encodeCommand({ kind: "compact", revision: 1 }), bench.answerTo("compact"));
  assertEquals(bench.answers, []);
  await bench.drain();
  assertEquals(bench.answers, ["compact: refused"]);
  await bench.driver.stop();
});

Deno.test("Writes: a new leader that has not applied all entries does not know the feature level: clients try again", async () => {
  const bench = await WritesBench.elected();
  bench.submitForwarded(
    encodeCommand({ kind: "compact", revision: 1 }),
    (answer) => void bench.answers.push(answer.kind === "error" ? answer.code : answer.kind),
  );
  assertEquals([bench.answers, bench.commands], [["noLeader"], 0]);
  await bench.log.endSync();
  await bench.driver.stop();
});

Deno.test("Writes: the bytes of a client's write may change after the call that passes them", async () => {
  const bench = await WritesBench.leading();
  const bytes = put(1);
  bench.submit(bytes, bench.answerTo("put"));
  bytes.fill(0);
  await bench.drain();
  assertEquals(bench.answers, ["put: applied"]);
  const value = bench.replica.stateMachine.get(new TextEncoder().encode("v"))?.value;
  assertEquals(value, new TextEncoder().encode("v"));
  const logged = bench.log.entries.findLast(({ kind }) => kind === "command");
  assertEquals(logged?.data, put(1));
});
