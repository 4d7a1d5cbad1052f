/** The hub of watches: a put that is applied, without watches and with many watches of other keys. */
import { type KeySet, StateMachine } from "../../../lib/kv/mod.ts";
import { SystemClock } from "../../../lib/platform/system.ts";
import { NO_WATCH_RIGHTS } from "../../support/fakes/auth.ts";
import { WatchHub } from "../../../lib/server/watch/watch_hub.ts";
import { putAt } from "./fixtures.ts";

const WATCHES = 10_000;
/** Puts after which the history is compacted, as a leader does. */
const KEPT_PUTS = 50_000;
const FILTER = { puts: true, deletes: true, previous: false } as const;

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const name = (number: number): string => `watched/${`${number}`.padStart(10, "0")}`;

/** The watched keys, by the name of the benchmark. */
const SETS: Readonly<Record<string, (number: number) => KeySet>> = {
  keys: (number) => ({ kind: "key", key: bytes(name(number)) }),
  prefixes: (number) => ({ kind: "range", start: bytes(`${name(number)}/`), end: bytes(`${name(number)}0`) }),
  ranges: (number) => ({ kind: "range", start: bytes(name(number)), end: bytes(name(number + 7)) }),
};

/** Returns a function that puts once, with a hub that has these watches. */
function putting(watches: number, keysOf: (number: number) => KeySet): () => void {
  const stateMachine = new StateMachine();
  let applied = 0;
  stateMachine.apply(++applied, { kind: "raiseFeatureLevel", level: 2 });
  const hub = new WatchHub({ clock: new SystemClock(), stateMachine, leaderlessMs: 1_000 });
  const connection = hub.connect({
    access: NO_WATCH_RIGHTS,
    isHeld: () => false,
    send: () => {},
    sendEvents: () => {},
  });
  for (let number = 0; number < watches; number++) {
    hub.start(connection, {
      watchId: number + 1,
      keys: keysOf(number),
      filter: FILTER,
      visibleOnly: false,
      from: 1,
    });
  }
  let writes = 0;
  return () => {
    stateMachine.apply(++applied, { ...putAt(writes++), session: null });
    hub.revisionApplied();
    if (writes % KEPT_PUTS === 0) {
      stateMachine.apply(++applied, { kind: "compact", revision: stateMachine.revision });
    }
  };
}

Deno.bench({
  name: "watch: put, no watch",
  group: "watch",
  baseline: true,
  fn: putting(0, () => ({ kind: "key", key: bytes(name(0)) })),
});
for (const [what, keysOf] of Object.entries(SETS)) {
  Deno.bench({
    name: `watch: put, ${WATCHES} watches of other ${what}`,
    group: "watch",
    fn: putting(WATCHES, keysOf),
  });
}
