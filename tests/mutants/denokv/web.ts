/** Mutants of the web server. */
import { WEB } from "../checks.ts";
import { inFile, type Mutant } from "../mutant.ts";

export const WEB_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/web/hpack/encoder.ts", [WEB], [
    {
      id: "M2948",
      title: "the first bytes of any fields are sent again for the same object",
      failure: "an answer has the fields of an earlier one",
      from: "if (areConstant(headers)) ENCODED",
      to: "ENCODED",
    },
  ]),
  ...inFile("lib/web/hpack/decoder.ts", [WEB], [
    {
      id: "M2100",
      title: "integers of HPACK have no bound",
      failure: "a few bytes of a client become the length of a string of gigabytes",
      from: "if (shift > 21)",
      to: "if (shift > 2_100)",
    },
    {
      id: "M2101",
      title: "the dynamic table is not emptied by an entry that is too large",
      failure: "the tables of both ends differ, and requests get each other's fields",
      from: "this.#evict(Math.max(0, this.#maxTableBytes - field.bytes));",
      to: "this.#evict(Math.abs(this.#maxTableBytes - field.bytes));",
    },
    {
      id: "M2600",
      title: "a literal is remembered for an index of the dynamic table",
      failure: "a request gets a field under the name that its index had in an earlier request",
      from: "const isRemembered = index <= STATIC.length &&",
      to: "const isRemembered = index <= TABLE_BYTES &&",
    },
    {
      id: "M2601",
      title: "a remembered literal is found behind the end of its block",
      failure: "a block that ends within a field is taken, with bytes of the next frame",
      from: "if (bytes.length > this.#end - this.#at) return false;",
      to: "if (bytes.length > this.#input.length - this.#at) return false;",
    },
  ]),
  ...inFile("lib/web/hpack/huffman.ts", [WEB], [
    {
      id: "M2102",
      title: "a Huffman string may end with eight bits of padding",
      failure: "two encodings of one field reach a proxy and the server as different ones",
      from: "for (let bits = 0; bits <= 7; bits++) {",
      to: "for (let bits = 0; bits <= 8; bits++) {",
    },
  ]),
  ...inFile("lib/web/http1/exchange.ts", [WEB], [
    {
      id: "M3204",
      title: "a chunk ends with each share of an answer that is appended to the output",
      failure: "etcd3gw, which reads each chunk of a watch as one message, loses large values",
      from: "this.#chunkBytes = answer.nextBytes;",
      to: "this.#chunkBytes = Math.min(answer.nextBytes, SHARE_BYTES);",
    },
  ]),
  ...inFile("lib/web/output.ts", [WEB], [
    {
      id: "M2602",
      title: "a write begins while another one is in progress",
      failure: "the bytes of two answers are mixed on the connection",
      from: "    } else if (!this.#isWriting) {",
      to: "    } else {",
    },
    {
      id: "M2603",
      title: "a write of which a part was taken counts as ended",
      failure: "the rest of an answer is overwritten by the next one",
      from: "this.#isWriting = false;\n    }",
      to: "}\n    this.#isWriting = false;",
    },
    {
      id: "M2604",
      title: "what was queued during a write waits for the next request",
      failure: "the last answers of a burst do not arrive",
      from: "else if (!this.#isWriting && !this.#isScheduled) this.#writeGathered();",
      to: "",
    },
  ]),
  ...inFile("lib/web/http2/stream.ts", [WEB], [
    {
      id: "M3168",
      title: "a request is in work until its handler has ended, also when it says that it waits",
      failure: "other requests wait for those that wait for locks",
      from: "noteWaiting(): void {\n    this.#owner.endWork(this);",
      to: "noteWaiting(): void {",
    },
    {
      id: "M3169",
      title: "a stream is in work as long as it lasts",
      failure: "two hundred watches keep all other requests waiting",
      from: "this.#isAnswered = true;\n    this.#owner.endWork(this);",
      to: "this.#isAnswered = true;",
    },
  ]),
  ...inFile("lib/web/handler_turns.ts", [WEB], [
    {
      id: "M3160",
      title: "any number of requests is in work",
      failure: "a client with ten thousand puts in progress delays each put of others by seconds",
      from: "if (this.#inWork < this.#most && this.#waiting.size === 0) return true;",
      to: "if (this.#waiting.size === 0) return true;",
    },
    {
      id: "M3161",
      title: "a connection has no share of its own",
      failure: "requests whose bodies do not come keep all other clients out",
      from: "return inWork < Math.max(",
      to: "return inWork < 0 * Math.max(",
    },
    {
      id: "M3162",
      title: "a connection that has had its turn is followed by no other of its address",
      failure: "requests of connections are never served once another of their address was",
      from: "if (source.waiting.size > 1) this.#waiting.add(source);",
      to: "",
    },
    {
      id: "M3163",
      title: "requests that are answered at once begin without a bound",
      failure: "a client with ten thousand requests that are refused keeps others from their turn",
      from: "begun < this.#most && this.#inWork",
      to: "begun < 100 * this.#most && this.#inWork",
    },
    {
      id: "M3164",
      title: "new requests overtake those that wait",
      failure: "a connection that sends without pause leaves no turn to others",
      from: "if (this.#inWork < this.#most && this.#waiting.size === 0) return true;",
      to: "if (this.#inWork < this.#most) return true;",
    },
  ]),
  ...inFile("lib/web/http2/frame_receiver.ts", [WEB], [
    {
      id: "M2103",
      title: "a header block grows without bound",
      failure: "CONTINUATION frames without end take the memory of the node",
      from: "if (bytes.length > this.#options.maxHeadBytes) {",
      to: "if (bytes.length < 0) {",
    },
    {
      id: "M2104",
      title: "frames that lead to nothing are not counted",
      failure: "one client keeps the node busy with pings and settings",
      from: "if (this.#options.guard.frame()) return;",
      to: "if (this.#options.guard.frame() || !this.#isFirst) return;",
    },
    {
      id: "M2105",
      title: "padding may be as long as its frame",
      failure: "a part of a body has a negative length",
      from: "if (padding >= frame.end - frame.begin) {",
      to: "if (padding > frame.end - frame.begin) {",
    },
  ]),
  ...inFile("lib/web/http2/connection.ts", [WEB], [
    {
      id: "M3241",
      title: "a connection whose last waiting request has begun keeps its turn",
      failure: "a client of HTTP/2 without a user ends the process of a node",
      from: "      if (this.#arrived.size === 0) this.#turns.leave();\n",
      to: "",
    },
    {
      id: "M2106",
      title: "requests that are reset at once are not counted",
      failure: "a client makes the node begin a request with every 30 bytes, and waits for none",
      from: "if (isCounted && !this.#guard.reset()) {",
      to: "if (isCounted && !this.#guard.reset() && streamId < 0) {",
    },
    {
      id: "M3165",
      title: "a request is in work as long as its handler waits",
      failure: "requests that wait for a leader keep those waiting that need none",
      from: "if (nowMs - stream.beganAtMs > MAX_WORK_MS) this.endWork(stream);",
      to: "",
    },
    {
      id: "M3166",
      title: "a connection whose requests were all reset keeps its turn",
      failure: "a client that resets its requests is a fault of the node",
      from: "if (this.#arrived.delete(stream) && this.#arrived.size === 0) this.#turns.leave();",
      to: "this.#arrived.delete(stream);",
    },
    {
      id: "M2107",
      title: "requests that were reset do not count while they are handled",
      failure: "one connection has any number of requests in the node",
      from: "return this.#streams.size + this.#orphans >=",
      to: "return this.#streams.size >=",
    },
    {
      id: "M2108",
      title: "a client that reads no answers is read on",
      failure: "the answers to its pings take the memory of the node",
      from: "while (this.output.queuedBytes > READ_LIMIT_BYTES",
      to: "while (this.output.queuedBytes > Infinity",
    },
    {
      id: "M2109",
      title: "the window of a request is not updated at once",
      failure: "every call of Deno 2.9.8 takes 44 ms",
      from: "if (!stream.isRemoteClosed) stream.inviteBody();",
      to: "if (stream.isAborted) stream.inviteBody();",
    },
    {
      id: "M2110",
      title: "the window of the connection is never updated",
      failure: "after 4 MiB of bodies a connection accepts no more writes",
      from: "if (2 * this.#owedBytes < CONNECTION_WINDOW_BYTES) return;",
      to: "if (this.#owedBytes > 0) return;",
    },
    {
      id: "M2111",
      title: "requests behind the announced end are served",
      failure: "a node that stops never ends its connections",
      from: 'if (this.#state !== "open" || this.#isFull)',
      to: "if (this.#isFull)",
    },
  ]),
  ...inFile("lib/web/http2/stream.ts", [WEB], [
    {
      id: "M2112",
      title: "a body may be shorter than its content-length",
      failure: "a request that a proxy has cut is taken for a whole one",
      from: "if (contentLength !== null && this.receivedBytes !== contentLength && !this.isLocalClosed) {",
      to: "if (contentLength !== null && this.receivedBytes < 0) {",
    },
    {
      id: "M2113",
      title: "an answer that waits for its window is not ended at the deadline",
      failure: "clients that read nothing keep answers in memory without end",
      from:
        "if (this.#timers.sent.check(isSending ? this.#sentBytes : null, nowMs) > limits.progressTimeoutMs) {",
      to: "if (this.#timers.sent.check(isSending ? this.#sentBytes : null, nowMs) > Infinity) {",
    },
  ]),
  ...inFile("lib/web/http1/request_head.ts", [WEB], [
    {
      id: "M2114",
      title: "a request may have a content-length and chunks",
      failure: "behind a proxy a client hides a second request in the first one (request smuggling)",
      from: 'if (length !== null) return badRequest("it has a Transfer-Encoding and a Content-Length");',
      to: "",
    },
  ]),
  ...inFile("lib/web/http1/connection.ts", [WEB], [
    {
      id: "M2115",
      title: "a full buffer is never read on",
      failure: "a body that comes faster than it is read is never complete",
      from: "    this.#freed?.resolve();\n",
      to: "",
    },
  ]),
  ...inFile("lib/web/held.ts", [WEB], [
    {
      id: "M2116",
      title: "the bytes of all connections have no bound",
      failure: "many connections together take the memory of the node",
      from: "if (by > 0 && this.#amount > this.most)",
      to: "if (by > 0 && this.#amount > Infinity)",
    },
    {
      id: "M3123",
      title: "the largest connection of any address is closed",
      failure: "many connections of one machine, with few requests each, have those of others closed",
      from: "const isCandidate = bySource.get(account.source) === most;",
      to: "const isCandidate = most > 0;",
    },
  ]),
  ...inFile("lib/web/http2/connection.ts", [WEB], [
    {
      id: "M3124",
      title: "the requests of all connections have no bound",
      failure: "one machine without any right takes the memory of a node by requests that it does not finish",
      from: "requests.add(this.#streams.size + this.#orphans - requests.amount);",
      to: "requests.add(this.#orphans - requests.amount);",
    },
    {
      id: "M3125",
      title: "a request that is reset does not count while its handler runs",
      failure: "one machine without any right takes the memory of a node by requests that it resets",
      from: "requests.add(this.#streams.size + this.#orphans - requests.amount);",
      to: "requests.add(this.#streams.size - requests.amount);",
    },
  ]),
  ...inFile("lib/web/server.ts", [WEB], [
    {
      id: "M2117",
      title: "one address may have all connections",
      failure: "one machine keeps out all other clients",
      from: "if ((this.#bySource.get(source) ?? 0) >= maxConnectionsPerAddress) {",
      to: "if ((this.#bySource.get(source) ?? 0) >= Infinity) {",
    },
  ]),
];
