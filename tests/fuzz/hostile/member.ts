/** The listening side of a hostile member: it listens at a member's address, answers hellos, and sends hostile frames. */
import type { Clock } from "../../../lib/platform/clock.ts";
import type { Address, Connection, Listener, Network } from "../../../lib/platform/network.ts";
import { ALL_KINDS, type FrameKindName, hostilePayload, type Knowledge } from "./frames.ts";
import type { SeededRandom } from "../../support/seeded_random.ts";
import { welcomeOf } from "./hellos.ts";
import { drain, framed, send } from "./speaker.ts";

/** Longest life of a connection; then the others dial again. */
const MAX_CONNECTION_MS = 800;
const MAX_FRAMES = 6;

/** Options of a hostile member. */
export interface HostileMemberOptions {
  readonly network: Network;
  readonly clock: Clock;
  readonly random: SeededRandom;
  readonly address: Address;
  readonly knowledge: () => Knowledge;
  readonly onFrame: (kind: FrameKindName) => void;
}

/** Listens until the returned listener is closed. */
export function listenAsMember(options: HostileMemberOptions): Listener {
  const listener = options.network.listen(options.address);
  void acceptAll(listener, options);
  return listener;
}

async function acceptAll(listener: Listener, options: HostileMemberOptions): Promise<void> {
  for (let connection = await listener.accept(); connection !== null; connection = await listener.accept()) {
    void answer(connection, options);
  }
}

async function answer(connection: Connection, options: HostileMemberOptions): Promise<void> {
  const { clock, random, knowledge, onFrame } = options;
  const made = (kind: FrameKindName): Uint8Array => {
    onFrame(kind);
    return hostilePayload(kind, knowledge());
  };
  clock.after(random.below(MAX_CONNECTION_MS), () => connection.close());
  void drain(connection);
  const opening = random.chance(0.7) ? welcomeOf(knowledge()) : made("welcome");
  let isOpen = await send(connection, framed(opening));
  for (let count = random.below(MAX_FRAMES); count > 0 && isOpen; count--) {
    const kind = random.chance(0.5) ? "pong" : random.pick(ALL_KINDS);
    isOpen = await send(connection, framed(made(kind)));
  }
}
