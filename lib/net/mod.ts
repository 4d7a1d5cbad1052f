/**
 * Everything between a node and other processes: frames, their bytes, and the connections that carry them.
 *
 * Bytes come in through a `FrameChannel`, are decoded into typed messages by the codecs (`peer_codec.ts`,
 * `client_codec.ts`, `command_codec.ts`, `configuration_codec.ts`, `hello_codec.ts`) or refused by a
 * named error, and only then reach the server: from the `ConnectionListener`, which accepts, and from `dial`, which
 * connects. `PeerLinks` keeps this node's own connections to the others, whoever they are just then. Time, chance and
 * sockets come in as `Clock`, `Random` and `Network`.
 *
 * Left out: encryption and passwords (they join in the hello, which has a place for credentials), compression (values
 * are the user's to compress), and delivery: what a link drops, the core or the client sends again.
 *
 * docs/protocol.md specifies the bytes.
 */
export {
  AddressError,
  type Contact,
  formatAddress,
  isMemberAddress,
  type NodeAddress,
  parseAddress,
  parseContacts,
  parseMembers,
} from "./address.ts";
export { decodeServerMessage, encodeClientRequest } from "./client_codec.ts";
export { ClientConnection, type ClientHandlers } from "./client_connection.ts";
export { decodeCommand, decodeResult, encodeCommand, encodeResult } from "./command_codec.ts";
export {
  CONFIGURATION_CODEC,
  configurationProblem,
  decodeConfiguration,
  encodeConfiguration,
} from "./configuration_codec.ts";
export { DenoClock } from "./deno_clock.ts";
export { DenoNetwork } from "./deno_network.ts";
export { DecodeError, HandshakeError, NetworkError, UnknownKindError } from "./errors.ts";
export { type ChannelSizes, FrameChannel } from "./frame_channel.ts";
export { dial, type Dialled, type DialOptions } from "./handshake.ts";
export type { Caller, Lane, PeerCaller, Refusal, Welcome, WelcomeLimits } from "./hello_codec.ts";
export { ConnectionListener, type ConnectionListenerOptions, type Situation } from "./listener.ts";
export type { LinkChange, LinkLane, LinkRefusal } from "./peer.ts";
export type { PeerMessage, WireMessage } from "./peer_codec.ts";
export { PeerLinks, type PeerLinksOptions } from "./peer_links.ts";
export { probeAny, type ProbeOptions, probePeer } from "./probe.ts";
export type { SnapshotChunk, SnapshotProgress } from "./snapshot_frames.ts";
