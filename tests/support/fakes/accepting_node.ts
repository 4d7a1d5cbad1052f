/** A node that accepts connections, and a connection that sends raw bytes to it, for tests of the transport. */
import { setImmediate } from "node:timers";
import { decode, encode, type ValueType } from "@std/msgpack";
import { FEATURE_LEVEL } from "../../../lib/kv/feature_level.ts";
import { formatAddress } from "../../../lib/platform/address.ts";
import { parseMembers } from "../../../lib/protocol/node_list.ts";
import type { ClientConnection, ClientHandlers } from "../../../lib/transport/client_connection.ts";
import type { ClientRequest } from "../../../lib/protocol/client_frames.ts";
import type { Member } from "../../../lib/protocol/messages.ts";
import type { Clock } from "../../../lib/platform/clock.ts";
import { FrameReader, type StreamEnd } from "../../../lib/transport/frame_reader.ts";
import type { PeerCaller } from "../../../lib/protocol/hello.ts";
import type { LogFields } from "../../../lib/platform/logger.ts";
import {
  type ConnectionHandlers,
  ConnectionListener,
  type ConnectionListenerOptions,
} from "../../../lib/transport/listener.ts";
import type { Connection, Dialer, Network } from "../../../lib/platform/network.ts";
import type { PeerMessage } from "../../../lib/protocol/peer_frames.ts";
import { RecordingLogger } from "./recording_logger.ts";

/** Three nodes. */
export const MEMBERS = parseMembers("1=n1:7001,2=n2:7002,3=n3:7003");
/** The id of their cluster. */
export const CLUSTER_ID = "00112233aabbccdd";

/** Node 2, which dials, without the lane. */
export const CALLER = {
  role: "peer",
  clusterId: CLUSTER_ID,
  nodeId: 2,
  dataId: 102,
  address: "n2:7002",
  featureLevel: FEATURE_LEVEL,
  etcdUrl: null,
} as const;
/** The members as a welcome lists them. */
export const VOTERS: readonly Member[] = MEMBERS.map(({ id, address }) => (
  { id, address: formatAddress(address), role: "voter" }
));

/** Options and handlers of a listener that a test sets itself. */
export type NetNodeOverrides = Partial<
  ConnectionListenerOptions & ConnectionHandlers & Pick<ClientHandlers, "isWatching" | "mustSignIn">
>;

/** The accepting end of a node, which records what it receives. */
export class NetNode {
  readonly listener: ConnectionListener;
  readonly logger = new RecordingLogger();
  /** Peers' messages, with who sent them. */
  readonly messages: { readonly from: number; readonly message: PeerMessage }[] = [];
  /** Peers that were welcomed. */
  readonly callers: PeerCaller[] = [];
  readonly requests: { readonly client: ClientConnection; readonly request: ClientRequest }[] = [];
  readonly clients: ClientConnection[] = [];
  /** Clients whose connection has ended. */
  closedClients = 0;

  constructor(
    { network, clock, self = 1, overrides = {} }: {
      readonly network: Network;
      readonly clock: Clock;
      readonly self?: number;
      readonly overrides?: NetNodeOverrides;
    },
  ) {
    const bind = MEMBERS.find(({ id }) => id === self)?.address ?? { host: "n9", port: 7009 };
    this.listener = new ConnectionListener({
      network,
      clock,
      logger: this.logger,
      bind,
      self,
      clusterId: CLUSTER_ID,
      dataId: 100 + self,
      maxConnections: 2,
      maxValueBytes: 1_000,
      ...overrides,
    });
    this.listener.start({
      members: () => VOTERS,
      situation: () => ({ leader: 2, term: 7, appliedIndex: 303 }),
      authorizePeer: () => null,
      onPeerHello: (caller) => void this.callers.push(caller),
      onPeerMessage: (message, from) => void this.messages.push({ from, message }),
      onClient: (client) => {
        this.clients.push(client);
        return {
          onRequest: (request) => void this.requests.push({ client, request: kept(request) }),
          onWritable: () => {},
          isWatching: overrides.isWatching ?? (() => false),
          mustSignIn: overrides.mustSignIn ?? (() => false),
          onClose: () => this.closedClients += 1,
        };
      },
      ...overrides,
    });
  }

  /** The faults of connections that were logged. */
  get faults(): readonly LogFields[] {
    return this.logger.connectionFaults;
  }
}

/** A connection that sends the bytes that a test chooses. */
export class RawConnection {
  readonly #connection: Connection;
  /** The received frames, decoded by the MessagePack library. */
  readonly received: ValueType[] = [];
  /** How the connection ended; null while it is open. */
  end: StreamEnd | null = null;

  private constructor(connection: Connection) {
    this.#connection = connection;
    const reader = new FrameReader(connection, {
      bufferBytes: 1_024,
      retainedBytes: 1_024,
      maxFrameBytes: 2 ** 24,
    });
    void reader.readFrames((payload) => void this.received.push(decode(payload.slice())))
      .then((end) => this.end = end);
  }

  /** Connects to the node with this id. */
  static async connect(network: Dialer, id = 1): Promise<RawConnection> {
    const member = MEMBERS.find((node) => node.id === id) ?? MEMBERS[0];
    if (member === undefined) throw new RangeError("there are no members");
    return new RawConnection(await network.connect(member.address, new AbortController().signal));
  }

  /** Sends bytes as they are. */
  async sendBytes(bytes: Uint8Array): Promise<void> {
    let sent = 0;
    while (sent < bytes.length) sent += await this.#connection.write(bytes.subarray(sent));
  }

  /** Sends a frame with these elements. */
  async send(elements: ValueType): Promise<void> {
    const payload = encode(elements);
    const frame = new Uint8Array(4 + payload.length);
    new DataView(frame.buffer).setUint32(0, payload.length);
    frame.set(payload, 4);
    await this.sendBytes(frame);
  }

  /** Closes the connection. */
  close(): void {
    this.#connection.close();
  }
}

/** Waits for turns of the event loop until `condition` holds; fails after very many. Timers do not advance. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  for (let turn = 0; turn < 10_000; turn++) {
    if (condition()) return;
    await new Promise<void>((resolve) => void setImmediate(() => resolve()));
  }
  throw new Error(`Waited in vain until ${what}`);
}

/** Returns a request that stays as it is: the command of a write is a view that is valid during the call only. */
function kept(request: ClientRequest): ClientRequest {
  return request.kind === "write" ? { ...request, command: request.command.slice() } : request;
}
