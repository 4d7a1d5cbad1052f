/** Bursts of hostile connections from one address to real nodes, of which some stay open. */
import type { Clock } from "../../../lib/platform/clock.ts";
import { ConnectionFrom } from "../../support/processes/source_address.ts";
import type { SeededRandom } from "../../support/seeded_random.ts";

/** Options of {@link runBursts}. */
export interface BurstsOptions {
  readonly clock: Clock;
  readonly ports: readonly number[];
  readonly random: SeededRandom;
  /** Its own address, so that its part of the connections is not that of others. */
  readonly source: string;
  /** Connections that stay open; one more closes the oldest. */
  readonly maxOpen: number;
  readonly maxBurst: number;
  readonly maxSilenceMs: number;
  /** Whether another burst follows. */
  readonly goesOn: () => boolean;
  /** Uses a connection that was opened. */
  readonly use: (connection: ConnectionFrom) => Promise<void>;
}

/** Opens and uses one burst of connections after the other. */
export async function runBursts(options: BurstsOptions): Promise<void> {
  const { clock, ports, random, source, maxOpen, maxBurst, maxSilenceMs, goesOn, use } = options;
  const open: ConnectionFrom[] = [];
  const begin = async (port: number): Promise<void> => {
    // A node that refuses connections for a moment is no failure here; another program checks that it answers.
    const connection = await ConnectionFrom.open(source, port).catch(() => null);
    if (connection === null) return;
    open.push(connection);
    await use(connection);
  };
  while (goesOn()) {
    const port = random.pick(ports);
    await Promise.all(Array.from({ length: 1 + random.below(maxBurst) }, () => begin(port)));
    const pauseMs = random.below(maxSilenceMs);
    await new Promise<void>((resolve) => void clock.after(pauseMs, resolve));
    while (open.length > maxOpen) open.shift()?.[Symbol.dispose]();
  }
  for (const connection of open) connection[Symbol.dispose]();
}
