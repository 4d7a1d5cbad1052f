/** Programs with watches. */
import type { Body } from "../../support/etcd/driver.ts";
import { type Choices, kvStep } from "./requests.ts";
import type { Program, Step } from "./step.ts";

const STREAMS = ["s0", "s1"] as const;

/** Returns a program of watches and of requests that they see. */
export function watchProgram(choices: Choices, length: number): Program {
  const { random } = choices;
  const streams = STREAMS.slice(0, 1 + random.below(STREAMS.length));
  const steps: Step[] = streams.map((stream) => ({ kind: "open", stream, call: "etcdserverpb.Watch/Watch" }));
  while (steps.length < length) {
    const stream = random.pick(streams);
    const dice = random.below(20);
    if (dice < 4) steps.push({ kind: "watch", stream, create: createBody(choices) });
    else if (dice < 5) {
      steps.push({ kind: "request", stream, body: { cancel_request: { watch_id: watchId(choices) } } });
    } else if (dice < 6) {
      steps.push({ kind: "settle" }, { kind: "request", stream, body: { progress_request: {} } });
    } else if (dice < 7 && random.chance(0.2)) steps.push({ kind: "request", stream, body: {} });
    else {
      const step = kvStep(choices);
      // A compaction cancels those that have not caught up, which is a matter of time.
      if (step.kind === "call" && step.call.endsWith("Compact")) steps.push({ kind: "settle" });
      steps.push(step);
    }
  }
  return steps;
}

function createBody(choices: Choices): Body {
  const { random } = choices;
  return {
    ...choices.range(),
    ...choices.maybe(0.4, () => ({ start_revision: choices.revision() })),
    ...choices.maybe(0.2, () => ({ progress_notify: true })),
    ...choices.maybe(
      0.25,
      () => ({ filters: random.pick([["NOPUT"], ["NODELETE"], ["NOPUT", "NODELETE"]]) }),
    ),
    ...choices.maybe(0.4, () => ({ prev_kv: true })),
    ...choices.maybe(0.25, () => ({ watch_id: watchId(choices) })),
    ...choices.maybe(0.3, () => ({ fragment: true })),
  };
}

function watchId(choices: Choices): string {
  return choices.random.pick(["0", "1", "2", "3", "7", "-1"]);
}
