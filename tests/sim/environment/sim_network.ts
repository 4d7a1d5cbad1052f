/**
 * The network of a simulation: machines, the links between them, listeners and connections. Each process uses its own
 * {@link SimNetwork}.
 */
import { formatAddress } from "../../../lib/platform/address.ts";
import { NetworkError } from "../../../lib/platform/errors.ts";
import type {
  Address,
  Connection,
  Listener,
  Network,
  PeerCertificate,
} from "../../../lib/platform/network.ts";
import { Link, type LinkSpeed } from "./link.ts";
import type { Process } from "./process.ts";
import { type ConnectionOptions, SimConnection } from "./sim_connection.ts";

/** A first packet without an answer is sent again after this. */
const RESEND_MS = 1_000;
/** Attempts after which a kernel gives up. */
const MAX_SENDS = 60;

/** The wires and machines of one simulation. */
export class Fabric {
  readonly options: ConnectionOptions;
  /** Machines on which no socket can be opened. */
  readonly lackingDescriptors = new Set<string>();
  readonly #speed: LinkSpeed;
  readonly #links = new Map<string, Link>();
  readonly #down = new Set<string>();
  readonly #listeners = new Map<string, SimListener>();
  readonly #connections = new Set<SimConnection>();
  #nextPort = 30_000;

  /** `speed`: of each link between two machines. */
  constructor(options: ConnectionOptions, speed: LinkSpeed) {
    this.options = options;
    this.#speed = speed;
  }

  /** The link of one direction. */
  link(from: string, to: string): Link {
    const name = `${from}>${to}`;
    let link = this.#links.get(name);
    if (link === undefined) {
      const latencyMs = from === to ? 0.05 : this.#speed.latencyMs * (0.5 + this.options.random.next());
      link = new Link({ ...this.#speed, latencyMs }, this.options.random);
      this.#links.set(name, link);
    }
    return link;
  }

  /** Heals every link. */
  heal(): void {
    for (const link of this.#links.values()) link.heal();
  }

  /** Whether a machine has power. */
  isUp(host: string): boolean {
    return !this.#down.has(host);
  }

  /** Cuts a machine's power, which drops its sockets. */
  powerOff(host: string): void {
    this.#down.add(host);
    for (const connection of [...this.#connections]) {
      if (connection.process.host === host) connection.vanish();
    }
    for (const [name, listener] of [...this.#listeners]) {
      if (listener.process.host === host) this.#listeners.delete(name);
    }
  }

  /** Restores a machine's power; packets sent to it meanwhile arrive now, and are answered with resets. */
  powerOn(host: string): void {
    if (!this.#down.delete(host)) return;
    for (const [name, link] of this.#links) {
      if (name.endsWith(`>${host}`) && !link.isCut) link.heal();
    }
  }

  /** Sockets that a process has open. */
  socketsOf(process: Process): number {
    const listeners = [...this.#listeners.values()].filter((listener) => listener.process === process);
    const connections = [...this.#connections].filter((connection) => connection.process === process);
    return listeners.length + connections.length;
  }

  /** Breaks every connection between two machines. */
  reset(a: string, b: string): number {
    const between = [...this.#connections].filter(({ process, peerHost }) =>
      process.host === a && peerHost === b
    );
    for (const connection of between) connection.breakOff();
    return between.length;
  }

  /** Opens a listener of `process`. */
  listen(process: Process, address: Address): SimListener {
    const name = formatAddress(address);
    if (this.#listeners.has(name)) {
      throw new NetworkError("addressInUse", { message: `Cannot listen on ${name}: the port is in use.` });
    }
    const listener = new SimListener(process, address, {
      onClose: () => {
        if (this.#listeners.get(name) === listener) this.#listeners.delete(name);
      },
      lacksDescriptors: () => this.lackingDescriptors.has(process.host),
    });
    // A process that dies within a disk operation runs a little longer, without effect.
    if (process.isDead) return listener;
    this.#listeners.set(name, listener);
    process.atDeath.push(() => listener.kill());
    return listener;
  }

  /** Returns the listener at an address. */
  listenerAt(address: Address): SimListener | null {
    return this.#listeners.get(formatAddress(address)) ?? null;
  }

  /**
   * Returns a new connection from `process`, which shows a certificate, to the listening process: first the near end, then
   * the far one.
   */
  connect(
    process: Process,
    listener: SimListener,
    certificate: PeerCertificate | null,
  ): [SimConnection, SimConnection] {
    this.#nextPort += 1;
    const near = this.#end(process, { remote: formatAddress(listener.address), certificate: null });
    const remote = formatAddress({ host: process.host, port: this.#nextPort });
    const far = this.#end(listener.process, { remote, certificate });
    const there = this.link(process.host, listener.process.host);
    const back = this.link(listener.process.host, process.host);
    SimConnection.tie(near, far, { there, back });
    return [near, far];
  }

  #end(
    process: Process,
    other: { readonly remote: string; readonly certificate: PeerCertificate | null },
  ): SimConnection {
    const { host } = process;
    const abandon = (): void => connection.abandon();
    const connection = new SimConnection(this.options, {
      process,
      ...other,
      isMachineUp: () => this.isUp(host),
      onGone: () => {
        this.#connections.delete(connection);
        const position = process.atDeath.indexOf(abandon);
        if (position >= 0) process.atDeath.splice(position, 1);
      },
    });
    this.#connections.add(connection);
    process.atDeath.push(abandon);
    return connection;
  }
}

/** A listening socket: connections are made by the kernel, and wait to be accepted. */
export class SimListener implements Listener {
  readonly address: Address;
  readonly process: Process;
  readonly #onClose: () => void;
  readonly #lacksDescriptors: () => boolean;
  readonly #waiting: SimConnection[] = [];
  #accepting: PromiseWithResolvers<Connection | null> | null = null;
  #isClosed = false;

  constructor(
    process: Process,
    address: Address,
    { onClose, lacksDescriptors }: { readonly onClose: () => void; readonly lacksDescriptors: () => boolean },
  ) {
    this.process = process;
    this.address = address;
    this.#onClose = onClose;
    this.#lacksDescriptors = lacksDescriptors;
  }

  accept(): Promise<Connection | null> {
    if (this.process.isDead) return new Promise(() => {});
    if (this.#isClosed) return Promise.resolve(null);
    if (this.#waiting.length > 0 && this.#lacksDescriptors()) return Promise.reject(outOfDescriptors());
    const connection = this.#waiting.shift();
    if (connection !== undefined) return Promise.resolve(connection);
    this.#accepting = Promise.withResolvers();
    return this.#accepting.promise;
  }

  close(): void {
    if (this.#isClosed || this.process.isDead) return;
    this.#isClosed = true;
    this.#onClose();
    for (const connection of this.#waiting.splice(0)) connection.abandon();
    this.#accepting?.resolve(null);
  }

  /** The process died. */
  kill(): void {
    this.#onClose();
  }

  /** The kernel has made a connection. */
  take(connection: SimConnection): void {
    this.#waiting.push(connection);
    this.process.wake(() => {
      const accepting = this.#accepting;
      if (accepting === null) return;
      if (this.#lacksDescriptors()) {
        this.#accepting = null;
        return accepting.reject(outOfDescriptors());
      }
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#accepting = null;
      accepting.resolve(next);
    });
  }
}

function outOfDescriptors(): NetworkError {
  return new NetworkError("failed", { message: "Cannot open a socket: EMFILE (too many open files)." });
}

/** The network as one process sees it. */
export class SimNetwork implements Network {
  readonly #fabric: Fabric;
  readonly #process: Process;
  readonly #certificate: PeerCertificate | null;

  /** Its connections show `certificate` to the other end. */
  constructor(fabric: Fabric, process: Process, certificate: PeerCertificate | null = null) {
    this.#fabric = fabric;
    this.#process = process;
    this.#certificate = certificate;
  }

  listen(address: Address): Listener {
    return this.#fabric.listen(this.#process, address);
  }

  connect(address: Address, signal: AbortSignal): Promise<Connection> {
    if (this.#fabric.lackingDescriptors.has(this.#process.host)) return Promise.reject(outOfDescriptors());
    const certificate = this.#certificate;
    return new Dial(this.#fabric, this.#process, { address, signal, certificate }).promise;
  }
}

/** An attempt to connect: a packet and its answer, each sent again while the link is cut. */
class Dial {
  readonly #fabric: Fabric;
  readonly #process: Process;
  readonly #address: Address;
  readonly #certificate: PeerCertificate | null;
  readonly #settle = Promise.withResolvers<Connection>();
  readonly #release: () => void;
  /** This end of a connection that the other machine has accepted, before its answer has arrived. */
  #near: SimConnection | null = null;
  #isOver = false;

  constructor(
    fabric: Fabric,
    process: Process,
    { address, signal, certificate }: {
      readonly address: Address;
      readonly signal: AbortSignal;
      readonly certificate: PeerCertificate | null;
    },
  ) {
    this.#fabric = fabric;
    this.#process = process;
    this.#address = address;
    this.#certificate = certificate;
    const onAbort = (): void => this.#fail("aborted", "given up");
    signal.addEventListener("abort", onAbort);
    this.#release = () => signal.removeEventListener("abort", onAbort);
    if (signal.aborted) onAbort();
    else this.#send(0);
  }

  get promise(): Promise<Connection> {
    return this.#settle.promise;
  }

  #send(sends: number): void {
    const { scheduler } = this.#fabric.options;
    const link = this.#fabric.link(this.#process.host, this.#address.host);
    scheduler.after(link.delayMs(64), null, () => {
      if (this.#isOver || this.#process.isDead) return;
      if (!link.isCut && this.#fabric.isUp(this.#address.host)) return this.#arrive();
      if (sends >= MAX_SENDS) return this.#process.wake(() => this.#fail("timedOut", "no answer"));
      scheduler.after(RESEND_MS, null, () => this.#send(sends + 1));
    });
  }

  #arrive(): void {
    const listener = this.#fabric.listenerAt(this.#address);
    if (listener === null) return this.#answer(() => this.#fail("refused", "nothing listens there"));
    const [near, far] = this.#fabric.connect(this.#process, listener, this.#certificate);
    this.#near = near;
    listener.take(far);
    this.#answer(() => {
      if (this.#isOver) return;
      this.#isOver = true;
      this.#release();
      this.#settle.resolve(near);
    });
  }

  /** Delivers the answer, when the link back is open. */
  #answer(take: () => void): void {
    const back = this.#fabric.link(this.#address.host, this.#process.host);
    this.#fabric.options.scheduler.after(back.delayMs(64), null, () => {
      if (back.isCut) back.whenHealed(() => this.#answer(take));
      else this.#process.wake(take);
    });
  }

  #fail(code: "aborted" | "refused" | "timedOut", why: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#release();
    this.#near?.abandon();
    this.#settle.reject(
      new NetworkError(code, { message: `Cannot connect to ${formatAddress(this.#address)}: ${why}.` }),
    );
  }
}
