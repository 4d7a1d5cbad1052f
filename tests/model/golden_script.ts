/** Writes the way to a broken promise as a golden script (tests/support/raft/script.ts), to be run again and kept. */
import { assert } from "../../lib/platform/assert.ts";
import { ELECTION_TICKS, HEARTBEAT_TICKS } from "./node.ts";
import type { Flight, Step } from "./way.ts";
import type { World } from "./world.ts";

/** The steps of a script without what they give; `runScript` fills that in. */
export function goldenScript(
  world: World,
  { promise, steps }: { promise: string; steps: readonly Step[] },
): string {
  const lines = [
    `# A broken promise, found in the small world "${world.name}": ${promise}.`,
    `> nodes 3 election=${ELECTION_TICKS} heartbeat=${HEARTBEAT_TICKS} appendBytes=1`,
  ];
  for (const [position, { term, vote, log }] of world.disks.entries()) {
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
  const words = [happening(step, network)];
  if (step.transition.worked) words.push(`ready ${node}`);
  for (const flight of step.sent) words.push(...network.send(flight));
  for (const flight of step.lost) words.push(network.lose(flight));
  return words;
}

function happening({ kind, node, message, target, transition }: Step, network: ScriptNetwork): string {
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

/** What is on its way in the script, in the order in which it was sent. */
class ScriptNetwork {
  #flights: Flight[] = [];

  /** A message leaves; an equal one that is on its way already makes it lost. */
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
    assert(position >= 0, "what arrives or is lost was sent");
    return position;
  }

  /** Names a message by its ends, and by its number where there are more between them. */
  #address(step: string, position: number): string {
    const meant = this.#flights[position];
    assert(meant !== undefined, "a message that is on its way has a position");
    const alike = this.#flights.filter(({ from, to }) => from === meant.from && to === meant.to);
    const number = alike.length === 1 ? "" : ` #${alike.indexOf(meant) + 1}`;
    return `${step} ${meant.from + 1} ${meant.to + 1}${number}`;
  }
}

function isEqual(one: Flight, other: Flight): boolean {
  return one.content === other.content && one.from === other.from && one.to === other.to;
}
