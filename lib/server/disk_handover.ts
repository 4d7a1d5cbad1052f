/**
 * Hands leadership over when this node's disk runs out of room while another's has some: a leader whose disk is nearly
 * full refuses every write that adds something, and the followers would take them.
 */
import type { Clock } from "../platform/clock.ts";
import type { Logger } from "../platform/logger.ts";
import type { NodeId, Raft } from "../raft/mod.ts";
import type { Driver } from "./driver.ts";

/** After an attempt none is made for so long: proposals wait while one is under way, and reads and deletes go on here. */
const RETRY_MS = 5_000;
/**
 * Where no other node has room either, they are looked at again after so long. Asking the core ends in another call of
 * `check`: asked each time, it would go on within one turn without end.
 */
const NO_ROOM_RETRY_MS = 1_000;

/** What handing over needs. */
export interface DiskHandoverOptions {
  readonly driver: Driver;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Whether there is room to prepare the log's next file, and for what is written. */
  readonly hasRoom: () => boolean;
}

/** Watches over the room of a node. */
export class DiskHandover {
  readonly #options: DiskHandoverOptions;
  /** No attempt is made before this time. */
  #notBefore = 0;
  /** Whether the log already says that no other node can take over. */
  #isRefusalLogged = false;

  constructor(options: DiskHandoverOptions) {
    this.#options = options;
  }

  /** Notes the room there is, and hands over where that is called for. Cheap while there is room. */
  check(raft: Raft): void {
    const { driver, clock, logger, hasRoom } = this.#options;
    const room = hasRoom();
    raft.noteRoom(room);
    if (room) this.#isRefusalLogged = false;
    if (room || !raft.isLeader || raft.isTransferring || clock.now() < this.#notBefore) return;
    const to: NodeId | null = driver.ask((raft) => raft.transferToRoom());
    this.#notBefore = clock.now() + (to === null ? NO_ROOM_RETRY_MS : RETRY_MS);
    if (to === null) return this.#logRefusal();
    logger.warn("disk nearly full: leadership goes to a node that has room", { to });
  }

  #logRefusal(): void {
    if (this.#isRefusalLogged) return;
    this.#isRefusalLogged = true;
    this.#options.logger.warn(
      "disk nearly full, and no other node with room can lead: writes that add something are refused",
    );
  }
}
