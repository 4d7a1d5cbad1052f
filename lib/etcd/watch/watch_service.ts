/** All streams of watches of a front end: their bounds, and their end while there is no leader. */
import type { ClientCore } from "../../client/core.ts";
import type { Timer } from "../../platform/clock.ts";
import type { EtcdContext } from "../context.ts";
import type { ByteMessages, Call, Format } from "../rpc/method.ts";
import { etcdError } from "../rpc/status.ts";
import { CoreWatches } from "./core_watches.ts";
import { PageSlots } from "./page_slots.ts";
import { type WatchAdmission, WatchStream } from "./watch_stream.ts";

/** Watches of all streams, and bytes of their keys. */
export const MAX_WATCHES = 100_000;
export const MAX_KEY_BYTES_IN_ALL = 67_108_864;
/** Interval at which the leader is looked for, and time without one after which the streams end that want one, as in etcd. */
const LEADER_CHECK_MS = 500;
export const LEADERLESS_MS = 3_000;

/** The parts of a front end that its watches use. */
export type WatchContext = Pick<EtcdContext, "view" | "closing" | "clock" | "random">;

/** The watches of a front end. */
export class WatchService implements WatchAdmission {
  readonly #context: WatchContext;
  readonly #byCore = new WeakMap<ClientCore, CoreWatches>();
  readonly #slots = new PageSlots();
  /** Streams that end without a leader. */
  readonly #leaderStreams = new Set<WatchStream>();
  #leaderTimer: Timer | null = null;
  /** Since when there is no leader; null while there is one. */
  #leaderlessSince: number | null = null;
  #watches = 0;
  #keyBytes = 0;

  constructor(context: WatchContext) {
    this.#context = context;
  }

  /** Serves one stream until it ends. Rejects with the EtcdError or KvraftError that ends it. */
  async serve(messages: ByteMessages, format: Format, call: Call): Promise<void> {
    const stream = new WatchStream({
      context: this.#context,
      watches: this.#watchesOf(call.core),
      admission: this,
      slots: this.#slots,
      messages,
      format,
      call,
    });
    if (call.needsLeader) {
      this.#leaderStreams.add(stream);
      this.#leaderTimer ??= this.#context.clock.after(LEADER_CHECK_MS, this.#checkLeader);
    }
    try {
      await stream.run();
    } finally {
      this.#leaderStreams.delete(stream);
    }
  }

  enter(keyBytes: number): string | null {
    if (this.#watches >= MAX_WATCHES || this.#keyBytes + keyBytes > MAX_KEY_BYTES_IN_ALL) {
      return "kvraft: this server has too many watches";
    }
    this.#watches++;
    this.#keyBytes += keyBytes;
    return null;
  }

  leave(keyBytes: number): void {
    this.#watches--;
    this.#keyBytes -= keyBytes;
  }

  #watchesOf(core: ClientCore): CoreWatches {
    let watches = this.#byCore.get(core);
    if (watches === undefined) this.#byCore.set(core, watches = new CoreWatches(core, this.#context));
    return watches;
  }

  readonly #checkLeader = (): void => {
    const { clock, view } = this.#context;
    this.#leaderTimer = null;
    if (this.#leaderStreams.size === 0) {
      this.#leaderlessSince = null;
      return;
    }
    this.#leaderTimer = clock.after(LEADER_CHECK_MS, this.#checkLeader);
    if (view().leader !== 0n) this.#leaderlessSince = null;
    else this.#leaderlessSince ??= clock.now();
    if (this.#leaderlessSince === null || clock.now() - this.#leaderlessSince < LEADERLESS_MS) return;
    for (const stream of this.#leaderStreams) stream.fail(etcdError("noLeader"));
  };
}
