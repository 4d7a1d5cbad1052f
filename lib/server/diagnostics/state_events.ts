/**
 * Notices changes of a node's state that an operator waits for, and logs each of them once: members, authentication, quota,
 * disk space, and a node that is slow.
 */
import type { LiveSettings } from "../config/config.ts";
import type { Logger } from "../../platform/logger.ts";
import type { Member } from "../../protocol/messages.ts";
import { membersOf } from "../membership/members.ts";
import { type Metrics, WINDOW_MS } from "../metrics/metrics.ts";
import type { Replica } from "../replica.ts";

/** The bounds of doctor's rules slow-disk and slow-loop. */
const SLOW_SYNC_MICROS = 100_000;
const SLOW_LOOP_MICROS = 250_000;
/** Successive periods in which a node is slow before that is logged: one burst is in two of them. */
const SLOW_PERIODS = 3;
/** A node is slow no longer after this time without a slow period: else a disk at the bound fills the log. */
const CALM_MS = 60_000;

/** The sources of state events. */
export interface StateEventSources {
  readonly logger: Logger;
  readonly replica: Pick<Replica, "appliedIndex" | "applied"> & {
    readonly stateMachine: { readonly auth: { readonly enabled: boolean }; readonly stateBytes: number };
  };
  readonly diskSpace: { readonly isNearlyFull: boolean };
  readonly live: Pick<LiveSettings, "quotaBytes">;
  /** Null where nothing is counted: then slowness, the end of a quota and disk space are not noticed. */
  readonly metrics: Pick<Metrics, "latency" | "onPeriod"> | null;
  /** Index of the last entry in the log at the start: what entries up to it changed is no news. */
  readonly recoveredIndex: number;
}

/** The state events of one node. */
export class StateEvents {
  readonly #sources: StateEventSources;
  #configuration: Replica["applied"]["configuration"];
  #isAuthEnabled: boolean;
  #isNearlyFull = false;
  #isSlow = false;
  #slowPeriods = 0;
  #calmPeriods = 0;
  /** The bytes of the smallest write that was refused since the quota was reached; null below the quota. */
  #refusedBytes: number | null = null;

  constructor(sources: StateEventSources) {
    const { replica, metrics } = sources;
    this.#sources = sources;
    this.#configuration = replica.applied.configuration;
    this.#isAuthEnabled = replica.stateMachine.auth.enabled;
    metrics?.onPeriod(() => this.#check(metrics));
  }

  /** Compares the applied members and the authentication with those before. Called often. */
  settled(): void {
    const { replica, recoveredIndex } = this.#sources;
    const isNews = replica.appliedIndex > recoveredIndex;
    const { configuration } = replica.applied;
    if (configuration !== this.#configuration) {
      // The first members that a joining node learns of are no change.
      const isFirst = this.#configuration.members.length === 0;
      if (isNews && !isFirst) this.#logMembers(membersOf(this.#configuration), membersOf(configuration));
      this.#configuration = configuration;
    }
    const { enabled } = replica.stateMachine.auth;
    if (enabled === this.#isAuthEnabled) return;
    this.#isAuthEnabled = enabled;
    if (isNews) this.#logAuth(enabled);
  }

  /** Notes that a write was refused that would have added these bytes. */
  quotaExceeded(bytes: number): void {
    const { logger, replica, live: { quotaBytes } } = this.#sources;
    if (this.#refusedBytes === null) {
      logger.warn("the quota is reached: this leader refuses writes that add data", {
        event: "quotaReached",
        bytes: replica.stateMachine.stateBytes,
        quotaBytes,
        refusedBytes: bytes,
      });
    }
    this.#refusedBytes = Math.min(bytes, this.#refusedBytes ?? bytes);
  }

  #logMembers(before: readonly Member[], now: readonly Member[]): void {
    const { logger } = this.#sources;
    for (const { id: node, address, role } of now) {
      const known = before.find(({ id }) => id === node);
      if (known === undefined) {
        logger.info("a member was added", { event: "memberAdded", node, address, role });
        continue;
      }
      if (known.address !== address) {
        logger.info("a member has another address", {
          event: "memberMoved",
          node,
          address,
          before: known.address,
        });
      }
      // While a voter leaves, it is neither yet.
      if (known.role === role || role === "leaving") continue;
      const isVoter = role === "voter";
      const event = isVoter ? "memberPromoted" : "memberDemoted";
      logger.info(isVoter ? "a learner became a voter" : "a voter became a learner", { event, node });
    }
    for (const { id: node, address } of before) {
      if (now.some(({ id }) => id === node)) continue;
      logger.info("a member was removed", { event: "memberRemoved", node, address });
    }
  }

  #logAuth(enabled: boolean): void {
    const { logger } = this.#sources;
    if (enabled) logger.info("authentication is enabled: clients have to sign in", { event: "authEnabled" });
    else logger.warn("authentication is disabled: every client may do everything", { event: "authDisabled" });
  }

  #check(metrics: Pick<Metrics, "latency">): void {
    this.#checkQuota();
    this.#checkDisk();
    this.#checkSpeed(metrics);
  }

  #checkQuota(): void {
    const { logger, replica, live: { quotaBytes } } = this.#sources;
    if (this.#refusedBytes === null || quotaBytes === null) return;
    const bytes = replica.stateMachine.stateBytes;
    if (bytes + this.#refusedBytes > quotaBytes) return;
    this.#refusedBytes = null;
    logger.info("the quota is no longer reached", { event: "quotaLeft", bytes, quotaBytes });
  }

  #checkDisk(): void {
    const { logger, diskSpace: { isNearlyFull } } = this.#sources;
    if (isNearlyFull === this.#isNearlyFull) return;
    this.#isNearlyFull = isNearlyFull;
    if (isNearlyFull) {
      logger.warn("the disk is full or nearly full: the log has only the space that it has reserved", {
        event: "diskNearlyFull",
      });
    } else {
      logger.info("the disk has space again", { event: "diskHasSpace" });
    }
  }

  #checkSpeed(metrics: Pick<Metrics, "latency">): void {
    const { sync, loop } = metrics.latency();
    const syncMicros = sync.p99 ?? 0;
    const loopMicros = loop.p99 ?? 0;
    const isSlow = syncMicros >= SLOW_SYNC_MICROS || loopMicros >= SLOW_LOOP_MICROS;
    this.#slowPeriods = isSlow ? this.#slowPeriods + 1 : 0;
    this.#calmPeriods = isSlow ? 0 : this.#calmPeriods + 1;
    const { logger } = this.#sources;
    const fields = {
      syncP99Ms: Math.round(syncMicros / 1_000),
      loopDelayP99Ms: Math.round(loopMicros / 1_000),
    };
    if (this.#slowPeriods >= SLOW_PERIODS && !this.#isSlow) {
      this.#isSlow = true;
      logger.warn("this node is slow: its disk or its event loop takes long", {
        event: "nodeSlow",
        ...fields,
      });
    } else if (this.#isSlow && this.#calmPeriods >= CALM_MS / WINDOW_MS) {
      this.#isSlow = false;
      logger.info("this node is no longer slow", { event: "nodeNotSlow", ...fields });
    }
  }
}
