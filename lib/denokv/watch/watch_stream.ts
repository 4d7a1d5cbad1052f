/**
 * One watch of a client: the frames that it is sent.
 *
 * At most one frame of a watch is unsent: while the client does not take it, nothing else is written, and afterwards the
 * newest state follows. So a client that does not read costs the memory of one frame, and never lacks the last state. Nor
 * does such a watch hold up the other requests of its client: all of a Deno KV handle share the window of one connection.
 */
import type { WebStream } from "../../web/mod.ts";
import { PING_FRAME, type WatchedState } from "./frames.ts";
import type { StateReceiver } from "./watched_keys.ts";

/** Time without a frame after which a watch is sent an empty one. */
export const PING_AFTER_MS = 5_000;

/** The owner of a stream. */
export interface WatchStreamOwner {
  /** Returns monotonic time. */
  now(): number;
  /** The client takes frames again. */
  onReady(): void;
  /** A frame of so many bytes was sent. */
  onFrame(bytes: number): void;
}

/** The frames of one watch. */
export class WatchStream implements StateReceiver {
  readonly #stream: WebStream;
  readonly #owner: WatchStreamOwner;
  #revision: number;
  /** The versions of the keys that the client was sent last. */
  #sent: readonly number[];
  #sentAt = 0;
  /** Whether the client has taken all frames. */
  #isTaken = true;
  #isEnded = false;

  /** Sends the first frame, which has all keys. */
  constructor(stream: WebStream, first: WatchedState, owner: WatchStreamOwner) {
    this.#stream = stream;
    this.#owner = owner;
    this.#revision = first.revision;
    this.#sent = first.versions;
    this.#send(first.frameAfter(null));
  }

  /** The revision of the last state that it was given. */
  get revision(): number {
    return this.#revision;
  }

  /** Whether a frame may be sent now. */
  get isReady(): boolean {
    return this.#isTaken && !this.#isEnded;
  }

  /** Sends what the client lacks of a state that is newer than {@link revision}. */
  take(state: WatchedState): void {
    this.#revision = state.revision;
    if (!state.differsFrom(this.#sent)) return;
    const frame = state.frameAfter(this.#sent);
    this.#sent = state.versions;
    this.#send(frame);
  }

  /** Sends an empty frame if nothing was sent for a while. */
  pingIfIdle(): void {
    if (!this.isReady || this.#owner.now() - this.#sentAt < PING_AFTER_MS) return;
    this.#send(PING_FRAME);
  }

  /** Ends the watch: the client begins it again. */
  end(): void {
    this.#isEnded = true;
    this.#stream.end();
  }

  #send(frame: Uint8Array): void {
    this.#sentAt = this.#owner.now();
    this.#stream.write(frame);
    this.#owner.onFrame(frame.length);
    if (this.#stream.unsentBytes > 0 || this.#stream.isReaderBehind) this.#waitForReader();
  }

  /** Waits until the client has received and read enough, so that it is not sent more than it reads. */
  async #waitForReader(): Promise<void> {
    this.#isTaken = false;
    await this.#stream.whenWritable();
    await this.#stream.whenRead();
    this.#isTaken = true;
    this.#owner.onReady();
  }
}
