/** Mutants of frames, connections and handshakes. */
import { FRAMES, LISTENER, LOG, NET, SERVER, SIM, tests } from "./checks.ts";
import { inFile, type Mutant } from "./mutant.ts";

const CHECKS = [FRAMES, LISTENER, NET, SIM];

const GATEWAY = tests("gateways", "tests/unit/gateway");
const DIRECTORY = tests("directory", "tests/unit/client/directory_test.ts");

export const NETWORK_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/server/startup/descriptors.ts", [SERVER], [
    {
      id: "M259",
      title: "connections are taken however few file descriptors there are",
      failure: "clients take the descriptors that the log needs for its next file",
      from: "if (free >= wanted)",
      to: "if (free >= 0)",
    },
  ]),
  ...inFile("lib/transport/http_server.ts", [NET], [
    {
      id: "M257",
      title: "half an HTTP request is waited for without an end",
      failure: "thousands of half requests are held, each with a file descriptor",
      from: "this.#within(HTTP_HEAD_TIMEOUT_MS, connection,",
      to: "this.#within(HTTP_HEAD_TIMEOUT_MS * 1_000, connection,",
    },
    {
      id: "M258",
      title: "HTTP connections have no bound",
      failure: "a few thousand connections to the metrics take all file descriptors of the node",
      from: "|| this.#open.size >= MAX_HTTP_CONNECTIONS",
      to: "|| this.#open.size < 0",
    },
  ]),
  ...inFile("lib/platform/logger.ts", [LOG], [
    {
      id: "M255",
      title: "a line about another machine is folded by its port, too",
      failure: "one client that is refused again and again fills the disk with the log",
      from: "remote: hostOf(remote)",
      to: "remote",
    },
    {
      id: "M256",
      title: "lines that differ are written however many there are",
      failure: "refused clients from many addresses fill the disk with the log",
      from: "count.written < MAX_LINES_A_MINUTE",
      to: "count.written >= 0",
    },
  ]),
  ...inFile("lib/transport/pending_hellos.ts", [LISTENER], [
    {
      id: "M251",
      title: "a connection whose hello may be in transit is closed for others",
      failure: "of many clients that connect at once some are refused",
      from: "- sinceMs >= HELLO_GRACE_MS",
      to: "- sinceMs >= 0",
    },
    {
      id: "M252",
      title: "members' machines have no share of the connections that wait for their hello",
      failure: "silent connections keep a member's calls waiting",
      from: "this.#peerHosts.has(hostOf(channel.remote)) &&",
      to: 'hostOf(channel.remote) === "" &&',
    },
  ]),
  ...inFile("lib/platform/accept_loop.ts", [NET], [
    {
      id: "M253",
      title: "a connection that is lost before it is accepted pauses accepting",
      failure: "a hundred resets lock new clients out for ten seconds",
      from: 'error.code === "connectionLost"',
      to: 'error.code === "aborted"',
    },
  ]),
  ...inFile("lib/platform/socket_connection.ts", [NET], [
    {
      id: "M3180",
      title: "the end of a stream is read before the bytes that came with it",
      failure: "the last answers of a node that stops are lost to its clients",
      from: "if (this.#chunksBytes > 0) read.resolve(this.#take(read.buffer));",
      to: "if (this.#chunksBytes > 0 && !this.#hasEnded) read.resolve(this.#take(read.buffer));",
    },
  ]),
  ...inFile("lib/platform/deno_network.ts", [NET], [
    {
      id: "M254",
      title: "a reset before accepting is taken for an error of the listener",
      failure: "a hundred resets lock new clients out for ten seconds",
      from: '"ENOTCONN",',
      to: "",
    },
    {
      id: "M3122",
      title: "a connection reads for as long as bytes wait for it",
      failure:
        "one client that sends without pause keeps all others, and the timers of the leader, from being served",
      from: "else if (this.#bytesInTurn >= BYTES_A_TURN) return this.#readInNextTurn(buffer);",
      to: "",
    },
  ]),
  ...inFile("lib/transport/frame_reader.ts", CHECKS, [
    {
      id: "M3048",
      title: "the first buffer of a connection is never replaced by a larger one",
      failure: "a client with many requests in flight has them read a kilobyte at a time",
      from: "if (this.#end === this.#buffer.length) this.#wasFilled = true;",
      to: "",
      checks: [FRAMES],
    },
    {
      id: "M250",
      title: "another protocol is recognised only by a length that no hello has",
      failure: "a client of PostgreSQL waits in silence until the hello's deadline, and the log says nothing",
      from: "if (looksLike !== null) return",
      to: 'if (looksLike === "") return',
      checks: [LISTENER],
    },
    {
      id: "M29",
      title: "the limit of a frame counts its header too",
      failure: "the longest frame that may be sent ends the connection",
      from: "if (length > maxFrameBytes)",
      to: "if (length + FRAME_HEADER_BYTES > maxFrameBytes)",
    },
    {
      id: "M73",
      title: "a length from 2 GiB up is read as negative",
      failure: "four bytes from an unknown sender make the reader go backwards",
      from: "this.#byteAt(0) * 2 ** 24",
      to: "(this.#byteAt(0) << 24)",
    },
    {
      id: "M74",
      title: "memory is set aside for a length before its bytes arrive",
      failure: "a few connections with four bytes each take all memory",
      from: "Math.min(needed, Math.max(unread * 2, retainedBytes))",
      to: "Math.max(needed, retainedBytes)",
    },
  ]),
  ...inFile("lib/transport/peers.ts", [NET], [
    {
      id: "M189",
      title: "a node that calls is not called back at once",
      failure: "half of its connections are missing for a second after a restart",
      from: "return member.retryNow();",
      to: "return;",
    },
    {
      id: "M141",
      title: "a member who has moved is dialled where it was",
      failure: "a node that changed its address never hears from the others again",
      from: "known !== undefined && known.address === formatAddress(member.address)",
      to: "known !== undefined",
      checks: CHECKS,
    },
  ]),
  ...inFile("lib/transport/frame_writer.ts", CHECKS, [
    {
      id: "M28",
      title: "the rest of a partial write to a socket is dropped",
      failure: "the other end sees garbage in the middle of a frame",
      from: "this.#leavingBytes -= count;",
      to: "this.#leavingBytes = 0;",
    },
  ]),
  ...inFile("lib/protocol/msgpack_reader.ts", CHECKS, [
    {
      id: "M605",
      title: "a reader that is used again begins inside the arrays in which it failed before",
      failure: "after one undecodable frame the node refuses every other, of all clients",
      from: "    this.#left = 1;\n    this.#depth = 0;\n",
      to: "",
    },
    {
      id: "M72",
      title: "bytes out of a frame are views of the read buffer",
      failure: "a value changes when the next frame arrives",
      from: "this.#copies === false ? view : this.#copies.copy(view)",
      to: "view",
    },
  ]),
  ...inFile("lib/transport/inbound_lane.ts", CHECKS, [
    {
      id: "M75",
      title: "a peer may speak in another's name",
      failure: "one confused node votes for all",
      from: "frame.from === peer.nodeId && frame.to === self",
      to: "frame.to === self",
    },
  ]),
  ...inFile("lib/transport/handshake/accepting.ts", CHECKS, [
    {
      id: "M76",
      title: "nodes and clients of another cluster are accepted",
      failure: "two clusters meet on a reused address and mix their logs",
      from: "caller.clusterId !== null && caller.clusterId !== clusterId",
      to: 'caller.clusterId === ""',
    },
  ]),
  ...inFile("lib/transport/handshake/hello_deadlines.ts", CHECKS, [
    {
      id: "M77",
      title: "a connection may stay without a hello forever",
      failure: "silent connections stay and use up what the node has",
      from: "channel.close(`no hello within ${HELLO_TIMEOUT_MS} ms`);",
      to: "",
    },
    {
      id: "M3046",
      title: "the timer of silent connections is not set again for those that came later",
      failure: "they stay until another connection comes",
      from: "this.#timer = this.#clock.after(dueMs - nowMs, this.#closeOverdue);",
      to: "",
    },
    {
      id: "M3047",
      title: "the timer of silent connections closes those that came later, too",
      failure: "a client on a slow network is closed before its hello arrives",
      from: "if (dueMs > nowMs) {",
      to: "if (dueMs > nowMs + HELLO_TIMEOUT_MS) {",
    },
  ]),
  ...inFile("lib/transport/client_connection.ts", CHECKS, [
    {
      id: "M78",
      title: "requests are read on however many wait for their answers",
      failure: "one client takes all memory",
      from: "this.#unanswered >= MAX_CLIENT_REQUESTS_IN_FLIGHT",
      to: "this.#unanswered < 0",
    },
    {
      id: "M284",
      title: "the result of a write keeps its value on a connection that is not read",
      failure:
        "a client with many failed compare-and-sets is closed, and the outcome of its writes is unknown",
      from: "result: withoutValues(message.result)",
      to: "result: message.result",
    },
  ]),
  ...inFile("lib/transport/outbound_lane.ts", CHECKS, [
    {
      id: "M283",
      title: "the results of forwarded writes leave with their value however much waits",
      failure: "results are dropped, and the outcome of writes is unknown though it is decided",
      from: "isLean ? lean(message) : message",
      to: "isLean ? message : message",
    },
    {
      id: "M79",
      title: "a lane whose other end is silent is kept",
      failure: "a half-open connection is noticed after minutes",
      from: "this.#unanswered >= PEER_UNANSWERED_PINGS",
      to: "this.#unanswered < 0",
    },
  ]),
  ...inFile("lib/protocol/peer_frames.ts", CHECKS, [
    {
      id: "M140",
      title: "a configuration is handed to the core as it came",
      failure: "one frame of a confused peer ends the node",
      from: 'if (kind === "configuration") decodeConfiguration(data);',
      to: "",
    },
  ]),
  ...inFile("lib/transport/peer.ts", CHECKS, [
    {
      id: "M142",
      title: "dropped links are not reported",
      failure: "messages queued on them are lost and not sent again",
      from: "for (const lane of lost) this.#options.onStateChange({ id, lane, connected: false });",
      to: "lost.length = 0;",
    },
  ]),
  ...inFile("lib/transport/frame_channel.ts", CHECKS, [
    {
      id: "M200",
      title: "an answer that cannot be encoded throws in the caller",
      failure: "one client's request ends the node",
      from: "if (this.#onFault === null) throw error;",
      to: "throw error;",
    },
  ]),
  ...inFile("lib/platform/address.ts", [NET], [
    {
      id: "M201",
      title: "a member may have the address of all machines",
      failure: "a configuration that no node can write down ends one leader after the other",
      from: "if (isDialable(address)) return address;",
      to: "if (address.port > 0) return address;",
    },
  ]),
  ...inFile("lib/platform/errors.ts", [NET], [
    {
      id: "M202",
      title: "an address of any length is quoted whole",
      failure: "three frames with an address of megabytes end a cluster",
      from: "if (text.length <= maxCharacters) return text;",
      to: "if (text.length >= 0) return text;",
    },
  ]),
  ...inFile("lib/gateway/relay.ts", [GATEWAY], [
    {
      id: "M2930",
      title: "a gateway takes a write whose node was lost for one that was not applied",
      failure: "a client that gives up says that nothing was changed, and the write is in the store",
      from: 'message }, "unknown");',
      to: "message });",
    },
    {
      id: "M2931",
      title: "watches outlive the user that began them",
      failure: "a connection is sent the events of keys that its present user may not read",
      from: 'this.#watches.endAll("stopping", "The connection has another user now.");',
      to: "",
    },
  ]),
  ...inFile("lib/protocol/ticket.ts", [GATEWAY], [
    {
      id: "M2932",
      title: "all users of a gateway share lanes",
      failure: "requests have the rights of another user",
      from: "return ticket === null ? `token ${secret}` : `ticket ${ticket.userId}.${ticket.credential}`;",
      to: 'return ticket === null ? "" : "";',
    },
    {
      id: "M3120",
      title: "a token may have the key of another user's tickets",
      failure: "a user that makes itself the token 1.1 has the rights of root at a gateway",
      from: "`token ${secret}`",
      to: "secret",
    },
  ]),
  ...inFile("lib/gateway/upstreams.ts", [GATEWAY], [
    {
      id: "M3121",
      title: "one user may take all lanes of a gateway",
      failure: "a user that changes its own password again and again keeps all others from signing in",
      from: "if (own.length >= MAX_LANES_OF_USER) {",
      to: "if (own.length > MAX_USERS) {",
    },
  ]),
  ...inFile("lib/gateway/relayed_watches.ts", [GATEWAY], [
    {
      id: "M2933",
      title: "events are queued for a client that does not read them",
      failure: "the connection of a slow client is closed when 64 MiB wait for it, again and again",
      from: "if (this.#client.isHeld()) this.#leave();",
      to: "",
    },
    {
      id: "M2934",
      title: "a held watch begins again at its first revision",
      failure: "a slow client is sent events twice",
      from: "this.#next = frame.revision + 1;",
      to: "",
    },
  ]),
  ...inFile("lib/gateway/gateway.ts", [GATEWAY], [
    {
      id: "M2935",
      title: "a gateway does not notice silent nodes",
      failure: "requests go to a suspended node until all of them are given up",
      from: "this.#upstreams.probe();",
      to: "",
    },
  ]),
  ...inFile("lib/client/directory.ts", [DIRECTORY], [
    {
      id: "M2936",
      title: "clients of a gateway dial the nodes",
      failure: "after an election thousands of clients connect to the nodes that the gateway is to shield",
      from: "if ([...this.#answeredBy.values()].some(isGatewayId)) return this.#given;",
      to: "",
    },
  ]),
];
