/** The watchers of `check --mix watch`: how they are started, and the report on what they saw. */
import type { WatchFigures } from "../../../lincheck/mod.ts";
import { WatchedWorkload, type WorkloadOptions } from "../../../loadgen/mod.ts";
import type { CommandContext, StoreClient } from "../../command.ts";
import { withThousands } from "../../text.ts";

/** The entry of `--mix` that adds watchers. */
export const WATCH_WORD = "watch";
/** Watchers unless `--watchers` is given, and at most. */
export const DEFAULT_WATCHERS = 12;
export const MAX_WATCHERS = 64;
/** Time for the watchers to show the last writes. */
const CATCH_UP_MS = 10_000;

/** Figures of the watches of a run, if they were right. */
export interface WatchReport {
  readonly watchers: number;
  readonly watches: number;
  readonly events: number;
  readonly resets: number;
  /** Writes of unknown outcome that a watcher saw. */
  readonly resolved: number;
  readonly leaseEnds: number;
  /** Watches that had not shown the last writes in time. */
  readonly late: number;
}

/** Starts a workload with watchers, and with leases, which `client` grants. */
export async function startWatched(
  workload: WorkloadOptions,
  { watchers, client, context }: {
    readonly watchers: number;
    readonly client: StoreClient;
    readonly context: CommandContext;
  },
): Promise<WatchedWorkload> {
  return await WatchedWorkload.start({
    ...workload,
    watchers,
    connect: () => context.connect(),
    leases: client.leases,
    catchUpMs: CATCH_UP_MS,
  });
}

/** Returns the report of watches that were right. */
export function watchReportOf(
  { watches, events, resets, resolved, leaseEnds }: WatchFigures,
  { watched, watchers }: { readonly watched: WatchedWorkload; readonly watchers: number },
): WatchReport {
  return { watchers, watches, events, resets, resolved, leaseEnds, late: watched.late.length };
}

/** Returns the lines of a report. */
export function watchLines(report: WatchReport): readonly string[] {
  const { watchers, watches, events, resets, resolved, leaseEnds, late } = report;
  const lines = [
    `WATCHES RIGHT: ${withThousands(watchers)} watchers saw every change of their keys once and in order: ` +
    `${withThousands(events)} events in ${withThousands(watches)} watches.`,
    `Among them: writes of unknown outcome ${withThousands(resolved)}, ends of leases ${
      withThousands(leaseEnds)
    }, ` +
    `resets ${withThousands(resets)}.`,
  ];
  if (late > 0) {
    lines.push(
      `Watches that had not shown the last writes after ${CATCH_UP_MS / 1_000} s: ${late}. ` +
        "They are checked as far as they came.",
    );
  }
  return lines;
}
