/** A hostile member as the others reach it: it listens where a member should, answers hellos, and says what it likes. */
import type { Clock } from "../../../lib/platform/clock.ts";
import type { Address, Connection, Listener, Network } from "../../../lib/platform/network.ts";
import { ALL_KINDS, type FrameKindName, hostilePayload, type Knowledge } from "./frames.ts";
import type { SeededRandom } from "../../support/seeded_random.ts";
import { welcomeOf } from "./hellos.ts";
import { drain, framed, send } from "./speaker.ts";

/** How long it keeps a connection at most: the others dial it again, and it begins anew. */
const MAX_CONNECTION_MS = 800;
const MAX_FRAMES = 6;

/** What a hostile member is made from. */
export interface HostileMemberOptions {
  readonly network: Network;
  readonly clock: Clock;
  readonly random: SeededRandom;
  readonly address: Address;
  readonly knowledge: () => Knowledge;
  readonly onFrame: (kind: FrameKindName) => void;
}

/** Listens until the listener that is given back is closed. */
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
