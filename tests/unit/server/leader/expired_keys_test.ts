/** ExpiredKeys: the leader deletes keys once its wall clock has passed their time, all of them in bounded entries. */
import { assert, assertEquals } from "@std/assert";
import { MAX_EXPIRED_KEYS } from "../../../../lib/kv/mod.ts";
import { decodeCommand } from "../../../../lib/protocol/command.ts";
import { ExpiredKeys } from "../../../../lib/server/leader/expired_keys.ts";
import { ManualClock } from "../../../support/fakes/manual_clock.ts";

/** Times of the wall clock at which keys expire, with the deletion of a node that may lead. */
class Bench {
  readonly clock = new ManualClock();
  readonly expiresAtMs: number[] = [];
  /** How far the wall clock is ahead of the test's. */
  wallOffsetMs = 1_000_000;
  term: number | null = 1;
  appliedIndex = 0;
  /** The times up to which deletions were proposed that are not applied. */
  readonly proposed: number[] = [];
  readonly #expiredKeys = new ExpiredKeys({
    clock: this.clock,
    wallClock: () => this.clock.now() + this.wallOffsetMs + 0.5,
    replica: this.#replica(),
    leadingTerm: () => this.term,
    propose: (bytes) => {
      const command = decodeCommand(bytes);
      assert(command.kind === "deleteExpired", "nothing else is proposed");
      this.proposed.push(command.untilMs);
      return this.appliedIndex + this.proposed.length;
    },
  });

  constructor() {
    this.#expiredKeys.start();
  }

  /** Applies the first proposed deletion. */
  apply(): void {
    const untilMs = this.proposed.shift() ?? 0;
    const due = this.expiresAtMs.filter((atMs) => atMs <= untilMs).slice(0, MAX_EXPIRED_KEYS);
    this.expiresAtMs.splice(0, due.length);
    this.appliedIndex += 1;
    this.#expiredKeys.noteApplied();
  }

  stop(): void {
    this.#expiredKeys.stop();
    assertEquals(this.clock.timerCount, 0);
  }

  #replica(): ConstructorParameters<typeof ExpiredKeys>[0]["replica"] {
    const nextExpiresAtMs = (): number | null => this.expiresAtMs[0] ?? null;
    const appliedIndex = (): number => this.appliedIndex;
    return {
      get appliedIndex() {
        return appliedIndex();
      },
      stateMachine: {
        get nextExpiresAtMs() {
          return nextExpiresAtMs();
        },
      },
    };
  }
}

Deno.test("ExpiredKeys: a key is deleted within a second after its time, and not before", () => {
  const bench = new Bench();
  bench.expiresAtMs.push(1_005_500);
  bench.clock.advance(5_000);
  assertEquals(bench.proposed, []);
  bench.clock.advance(1_000);
  assertEquals(bench.proposed, [1_006_000]);
  bench.apply();
  assertEquals([bench.expiresAtMs, bench.proposed], [[], []]);
  bench.stop();
});

Deno.test("ExpiredKeys: many keys are deleted by one entry after the other, without a wait in between", () => {
  const bench = new Bench();
  for (let key = 0; key < 2 * MAX_EXPIRED_KEYS + 1; key++) bench.expiresAtMs.push(1_000_000);
  bench.clock.advance(3_000);
  assertEquals(bench.proposed.length, 1, "one is in flight");
  for (let entry = 0; entry < 3; entry++) {
    assertEquals(bench.proposed.length, 1);
    bench.apply();
  }
  assertEquals([bench.expiresAtMs, bench.proposed], [[], []]);
  bench.stop();
});

Deno.test("ExpiredKeys: only a leader deletes, and one that lost its proposal proposes again in a later term", () => {
  const bench = new Bench();
  bench.term = null;
  bench.expiresAtMs.push(1_000_000);
  bench.clock.advance(2_000);
  assertEquals(bench.proposed, []);
  bench.term = 2;
  bench.clock.advance(1_000);
  assertEquals(bench.proposed.splice(0).length, 1);
  bench.term = 4;
  bench.clock.advance(1_000);
  assertEquals(bench.proposed.length, 1);
  bench.stop();
});

Deno.test("ExpiredKeys: a wall clock that is set back delays deletions, and one that is set forward advances them", () => {
  const bench = new Bench();
  bench.expiresAtMs.push(1_002_000);
  bench.wallOffsetMs -= 3_600_000;
  bench.clock.advance(60_000);
  assertEquals(bench.proposed, []);
  bench.wallOffsetMs += 7_200_000;
  bench.clock.advance(1_000);
  assertEquals(bench.proposed.length, 1);
  bench.stop();
});
