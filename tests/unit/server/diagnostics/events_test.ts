/** Notable events: which lines of the log are kept, and that each has a name that is documented. */
import { assertEquals } from "@std/assert";
import { EventLog, EVENTS } from "../../../../lib/server/diagnostics/events.ts";
import { filesOfCheckout, readCheckout } from "../../../support/checkout.ts";
import { RecordingLogger } from "../../../support/fakes/recording_logger.ts";

Deno.test("EventLog: lines with an event are kept, repeated ones once with their number, all are passed on", () => {
  const logger = new RecordingLogger();
  let now = 100;
  const log = new EventLog({ logger, wallClock: () => now });
  log.info("log opened", { bytes: 5 });
  log.warn("leader lost", { event: "leaderLost", leader: 2, term: 7 });
  now = 200;
  log.error("cannot take a snapshot", { event: "snapshotFailed", reason: "disk full" });
  now = 300;
  log.error("cannot take a snapshot", { event: "snapshotFailed", reason: "disk full" });
  assertEquals(log.newest, [
    { atMs: 100, name: "leaderLost", text: "leader lost leader=2 term=7", times: 1, node: null },
    {
      atMs: 300,
      name: "snapshotFailed",
      text: "cannot take a snapshot reason=disk full",
      times: 2,
      node: null,
    },
  ]);
  assertEquals(logger.messages, [
    "log opened",
    "leader lost",
    "cannot take a snapshot",
    "cannot take a snapshot",
  ]);
});

Deno.test("EventLog: the newest 50 are kept", () => {
  const log = new EventLog({ logger: new RecordingLogger(), wallClock: () => 0 });
  for (let term = 1; term <= 60; term++) log.info("leader known", { event: "leaderKnown", term });
  assertEquals(log.newest.length, 50);
  assertEquals(log.newest[0]?.text, "leader known term=11");
});

Deno.test("EventLog: slow requests are passed on and not kept, since many would push out all others", () => {
  const logger = new RecordingLogger();
  const log = new EventLog({ logger, wallClock: () => 0 });
  log.info("leader known", { event: "leaderKnown", leader: 1 });
  log.warn("a request was slow", { event: "slowRequest", kind: "write" });
  assertEquals(log.newest.map(({ name }) => name), ["leaderKnown"]);
  assertEquals(logger.messages, ["leader known", "a request was slow"]);
});

Deno.test("EVENTS: every event in the sources is in the table and in docs/operations.md, and no other", () => {
  const used = filesOfCheckout([".ts"]).filter((path) =>
    path.startsWith("lib/server/") || path.startsWith("lib/transport/")
  )
    .flatMap((
      path,
    ) => [
      ...readCheckout(path).matchAll(
        /\b(?:event|begunEvent|overEvent)(?: =|:) (?:[^"\n;,]*\? "(\w+)" : )?"(\w+)"/g,
      ),
    ])
    .flatMap(([, one, other]) => [one, other]).filter((name) => name !== undefined);
  assertEquals([...new Set(used)].sort(), Object.keys(EVENTS).sort());
  const rows = [...readCheckout("docs/operations.md").matchAll(/^\| `(\w+)` +\| (.+?) +\|$/gm)];
  const documented = new Map(rows.map(([, name = "", text = ""]) => [name, text]));
  for (const [name, text] of Object.entries(EVENTS)) assertEquals(documented.get(name), text, name);
});
