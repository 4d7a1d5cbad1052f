/** Log lines: their formats, omitted lines, and the counting of repetitions. */
import { assert, assertEquals } from "@std/assert";
import { Log, type LogFormat, type LogLevel } from "../../../lib/platform/logger.ts";
import { ManualClock } from "../../support/fakes/manual_clock.ts";

interface Fixture {
  readonly log: Log;
  readonly clock: ManualClock;
  /** The written lines, without the time. */
  lines(): string[];
}

function make({ level = "debug", format = "text" }: { level?: LogLevel; format?: LogFormat } = {}): Fixture {
  const clock = new ManualClock();
  let written = "";
  const log = new Log({
    level,
    format,
    clock,
    write: (line) => void (written += line),
    now: () => new Date(clock.now()),
  });
  return {
    log,
    clock,
    lines: () => written.split("\n").slice(0, -1).map((line) => line.replace(/^\S*Z /, "")),
  };
}

Deno.test("Log: a text line has time, level, message and fields", () => {
  const { log, lines } = make();
  log.info("leader known", { leader: 2, term: 5, alone: false, reason: null, why: 'a "b" c' });
  log.error("stopped");
  assertEquals(lines(), [
    'INFO  leader known leader=2 term=5 alone=false reason=null why="a \\"b\\" c"',
    "ERROR stopped",
  ]);
});

Deno.test("Log: a JSON line is one object, and no field hides its time, level or message", () => {
  const { log, lines } = make({ format: "json" });
  log.warn("cut", { bytes: 17, level: "forged", file: "a\nb" });
  assertEquals(lines().map((line) => JSON.parse(line)), [
    { time: "1970-01-01T00:00:00.000Z", level: "warn", message: "cut", bytes: 17, file: "a\nb" },
  ]);
});

Deno.test("Log: lines below the level are not written", () => {
  const { log, lines } = make({ level: "warn" });
  log.debug("a");
  log.info("b");
  log.warn("c");
  log.error("d");
  assertEquals(lines(), ["WARN  c", "ERROR d"]);
});

Deno.test("Log: text from outside can neither end a line nor control a terminal, and has a bound", () => {
  const { log, lines } = make();
  log.info("x\ny", { reason: "\x1b[2J\u202eok" });
  log.info("z".repeat(100_000));
  const [first, second = ""] = lines();
  assertEquals(first, "INFO  x\\u{a}y reason=\\u{1b}[2J\\u{202e}ok");
  assert(second.length < 10_000);
});

Deno.test("Log: a repeated line is counted, and the count written once it has stopped", () => {
  const { log, clock, lines } = make();
  for (let times = 0; times < 42; times += 1) {
    log.warn("cannot connect", { peer: 2 });
    clock.advance(100);
  }
  log.warn("cannot connect", { peer: 3 });
  assertEquals(lines(), ["WARN  cannot connect peer=2", "WARN  cannot connect peer=3"]);
  clock.advance(10_000);
  assertEquals(lines().slice(2), ["WARN  cannot connect (repeated 41 times) peer=2"]);
  assertEquals(clock.timerCount, 0);
});

Deno.test("Log: a continuing repetition is reported every minute", () => {
  const { log, clock, lines } = make();
  for (let second = 0; second < 125; second += 1) {
    log.warn("cannot connect");
    clock.advance(1_000);
  }
  log[Symbol.dispose]();
  assertEquals(lines(), [
    "WARN  cannot connect",
    "WARN  cannot connect (repeated 60 times)",
    "WARN  cannot connect (repeated 60 times)",
    "WARN  cannot connect (repeated 4 times)",
  ]);
});

Deno.test("Log: a line that occurs again later is written again", () => {
  const { log, clock, lines } = make();
  log.info("connected");
  clock.advance(5_000);
  log.info("connected");
  assertEquals(lines(), ["INFO  connected", "INFO  connected"]);
});

Deno.test("Log: close writes the counts of omitted lines, and leaves no timer", () => {
  const { log, clock, lines } = make();
  log.info("a");
  log.info("a");
  log[Symbol.dispose]();
  assertEquals([lines(), clock.timerCount], [["INFO  a", "INFO  a (repeated 1 time)"], 0]);
});

Deno.test("Log: many different lines are all written, and lose no count", () => {
  const { log, lines } = make();
  log.info("first");
  log.info("first");
  for (let line = 0; line < 200; line += 1) log.info(`other ${line}`);
  assertEquals(lines().filter((line) => line.includes("first")), [
    "INFO  first",
    "INFO  first (repeated 1 time)",
  ]);
  assertEquals(lines().length, 202);
});

Deno.test("Log: lines that one machine causes are counted by their kind, with any port and reason", () => {
  const { log, clock, lines } = make();
  for (let port = 1; port <= 50_000; port += 1) {
    const reason = `it is meant for cluster ${port}`;
    log.info("Refused a connection", { remote: `[2001:db8::1]:${port}`, code: "wrongCluster", reason });
  }
  log.info("Refused a connection", { remote: "[2001:db8::1]:1", code: "badHello", reason: "" });
  log.info("Refused a connection", { remote: "10.0.0.2:1", code: "wrongCluster", reason: "" });
  clock.advance(10_000);
  const first = 'remote=[2001:db8::1]:1 code=wrongCluster reason="it is meant for cluster 1"';
  assertEquals(lines(), [
    `INFO  Refused a connection ${first}`,
    'INFO  Refused a connection remote=[2001:db8::1]:1 code=badHello reason=""',
    'INFO  Refused a connection remote=10.0.0.2:1 code=wrongCluster reason=""',
    `INFO  Refused a connection (repeated 49999 times) ${first}`,
  ]);
  assertEquals(clock.timerCount, 0);
});

Deno.test("Log: faults are distinguished by their reason, also when one machine causes them", () => {
  const { log, lines } = make();
  for (const reason of ["a", "b", "a"]) log.error("A fault", { remote: "10.0.0.2:1", reason, stack: reason });
  assertEquals(lines(), [
    "ERROR A fault remote=10.0.0.2:1 reason=a stack=a",
    "ERROR A fault remote=10.0.0.2:1 reason=b stack=b",
  ]);
});

Deno.test("Log: of lines with one message a hundred are written in a minute, for any number of machines that cause them", () => {
  const { log, clock, lines } = make();
  const flood = (): void => {
    for (let host = 0; host < 20_000; host += 1) {
      log.info("Refused a connection", { remote: `10.0.${host >> 8}.${host & 255}:1`, code: "busy" });
    }
  };
  flood();
  flood();
  log.warn("leader lost");
  assertEquals([lines().length, lines().at(-1)], [101, "WARN  leader lost"]);
  clock.advance(65_000);
  assertEquals(lines().slice(101), ["INFO  Refused a connection (39900 more were left out)"]);
  log.info("Refused a connection", { remote: "10.0.0.1:1", code: "busy" });
  assertEquals(lines().length, 103);
  assertEquals(clock.timerCount, 0);
});

Deno.test("Log: close writes how many lines were omitted", () => {
  const { log, clock, lines } = make();
  for (let line = 0; line < 150; line += 1) log.info("other", { line });
  log[Symbol.dispose]();
  assertEquals([lines().length, lines().at(-1)], [101, "INFO  other (50 more were left out)"]);
  assertEquals(clock.timerCount, 0);
});
