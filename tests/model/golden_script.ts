/** Writes the path to a violation as a golden script (tests/support/raft/script.ts). */
import { assert } from "../../lib/platform/assert.ts";
import { ELECTION_TICKS, HEARTBEAT_TICKS } from "./node.ts";
import type { Flight, Step } from "./path.ts";
import type { Scenario } from "./scenario.ts";

/** Returns the steps of a script without their results, which `runScript` adds. */
export function goldenScript(
  scenario: Scenario,
  { invariant, steps }: { invariant: string; steps: readonly Step[] },
): string {
  const lines = [
    `# A violated invariant, found in the scenario "${scenario.name}": ${invariant}.`,
    `> nodes 3 election=${ELECTION_TICKS} heartbeat=${HEARTBEAT_TICKS} appendBytes=1`,
  ];
  for (const [position, { term, vote, log }] of scenario.disks.entries()) {
    if (term === 0) continue;
    const voted = vote === null ? "" : ` vote=${vote}`;
    const held = log.length === 0 ? "" : ` log=${log.join(",")}`;
    lines.push(`> recover ${position + 1} term=${term}${voted}${held}`);
  }
  lines.push("> hold-disk 1; hold-disk 2; hold-disk 3");
  const network = new ScriptNetwork();
  for (const step of steps) lines.push(`> ${stepText(step, network).join("; ")}`);
  return lines.join("\n") + "\n";
}

function stepText(step: Step, network: ScriptNetwork): string[] {
  const node = step.node + 1;
  const words = [actionText(step, network)];
  if (step.transition.worked) words.push(`ready ${node}`);
  for (const flight of step.sent) words.push(...network.send(flight));
  for (const flight of step.lost) words.push(network.lose(flight));
  return words;
}

function actionText({ kind, node, message, target, transition }: Step, network: ScriptNetwork): string {
  const id = node + 1;
  switch (kind) {
    case "deliver":
    case "repeat":
      assert(message !== null, "a message arrives");
      return network.arrive(message, kind);
    case "lapse":
    case "campaign":
    case "heartbeat":
      return `tick ${id} ${transition.ticks}`;
    case "sync":
      return `release-disk ${id}; hold-disk ${id}`;
    case "restart":
      return `crash ${id}; restart ${id}`;
    case "propose":
      return `propose ${id} x`;
    case "read":
      return `read ${id}`;
    case "transfer":
      return `transfer ${id} ${target + 1}`;
    case "reconnect":
      return `reconnect ${id} ${target + 1}; snapshot-failed ${id} ${target + 1}`;
    case "compact":
      return `compact ${id}`;
  }
}

/** The messages in flight in the script, in the order in which they were sent. */
class ScriptNetwork {
  #flights: Flight[] = [];

  /** Adds a message; if an equal one is in flight, drops it. */
  send(flight: Flight): string[] {
    const isThere = this.#flights.some((other) => isEqual(other, flight));
    this.#flights.push(flight);
    if (!isThere) return [];
    const words = this.#address("drop", this.#flights.length - 1);
    this.#flights.pop();
    return [words];
  }

  lose(flight: Flight): string {
    const position = this.#position(flight);
    const words = this.#address("drop", position);
    this.#flights.splice(position, 1);
    return words;
  }

  arrive(flight: Flight, kind: "deliver" | "repeat"): string {
    const position = this.#position(flight);
    const words = this.#address(kind, position);
    if (kind === "deliver") this.#flights.splice(position, 1);
    return words;
  }

  #position(flight: Flight): number {
    const position = this.#flights.findIndex((other) => isEqual(other, flight));
    assert(position >= 0, "a message that arrives or is lost was sent");
    return position;
  }

  /** Names a message by sender and receiver, and by its number if there are several. */
  #address(step: string, position: number): string {
    const message = this.#flights[position];
    assert(message !== undefined, "a message in flight has a position");
    const alike = this.#flights.filter(({ from, to }) => from === message.from && to === message.to);
    const number = alike.length === 1 ? "" : ` #${alike.indexOf(message) + 1}`;
    return `${step} ${message.from + 1} ${message.to + 1}${number}`;
  }
}

function isEqual(one: Flight, other: Flight): boolean {
  return one.content === other.content && one.from === other.from && one.to === other.to;
}
