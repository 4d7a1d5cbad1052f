/** Notices that a listener accepts nothing any more, by connecting to it when nothing has arrived for a while. */
import { connect, type Socket } from "node:net";
import type { Address } from "../network.ts";

/** Time for a probe that is connected to arrive at the listener. */
export const PROBE_TIMEOUT_MS = 1_000;
/** Probes in a row that connected and did not arrive, after which the listener is restarted: a stalled process is slow too. */
const MAX_LOST_PROBES = 2;

/** Options of a {@link ListenerProber}. */
export interface ListenerProberOptions {
  /** Where the listener listens. */
  readonly address: Address;
  readonly intervalMs: number;
  /** Closes the listener and listens again; may throw. */
  readonly restart: () => void;
}

/** Probes one listener until it is closed. */
export class ListenerProber {
  readonly #options: ListenerProberOptions;
  readonly #timer: ReturnType<typeof setInterval>;
  /** The connection of the current probe. */
  #probe: Socket | null = null;
  /** Local port of the latest probe. */
  #probePort: number | null = null;
  #arrivals = 0;
  #arrivalsAtCheck = 0;
  #lost = 0;
  #arrivedProbes = 0;
  #isClosed = false;

  /** Begins to probe. */
  constructor(options: ListenerProberOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#check(), options.intervalMs);
  }

  /** Probes that have arrived. */
  get arrivedProbes(): number {
    return this.#arrivedProbes;
  }

  /** Records that a connection has arrived. */
  arrived(): void {
    this.#arrivals += 1;
    this.#lost = 0;
  }

  /** Whether a connection that has arrived is the latest probe. */
  isProbe(socket: Socket): boolean {
    return this.#probePort !== null && this.#probePort === socket.remotePort;
  }

  /** Ends the probes. */
  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
    this.#probe?.destroy();
  }

  #check(): void {
    if (this.#probe !== null) return;
    const hasArrivals = this.#arrivals !== this.#arrivalsAtCheck;
    this.#arrivalsAtCheck = this.#arrivals;
    if (!hasArrivals) this.#begin();
  }

  #begin(): void {
    const { host, port } = this.#options.address;
    const probe = connect({ host: host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host, port });
    this.#probe = probe;
    let timer: ReturnType<typeof setTimeout> | null = null;
    probe.on("error", () => {}); // without descriptors, for example: then it proves nothing
    probe.on("connect", () => {
      this.#probePort = probe.localPort ?? null;
      timer = setTimeout(() => probe.destroy(), PROBE_TIMEOUT_MS);
    });
    probe.on("close", () => {
      this.#probe = null;
      if (timer === null || this.#isClosed) return;
      clearTimeout(timer);
      this.#ended();
    });
  }

  /** Draws the conclusion from a probe that was connected. */
  #ended(): void {
    if (this.#arrivals !== this.#arrivalsAtCheck) {
      this.#arrivedProbes += 1;
      return;
    }
    this.#lost += 1;
    if (this.#lost < MAX_LOST_PROBES) return;
    this.#lost = 0;
    this.#options.restart();
  }
}
