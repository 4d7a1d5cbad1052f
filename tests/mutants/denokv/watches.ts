/** Mutants of the watches of Deno KV: missed changes, wrong frames, streams that end or do not, and cost without bound. */
import { tests } from "../checks.ts";
import { inFile, type Mutant } from "../mutant.ts";

const DENOKV_WATCH = tests("denokv-watch", "tests/unit/denokv/watch");
/** Clients that do not read. */
const WEB_READER = tests("web-reader", "tests/unit/web/reader_test.ts");

export const DENOKV_WATCH_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/denokv/watch/watched_keys.ts", [DENOKV_WATCH], [
    {
      id: "M1100",
      title: "a client that begins to watch gets no state for events since the first read",
      failure: "a change between the first frame and the next event is shown late or never",
      from: "this.#receivers.add(receiver);\n    this.readyAgain(receiver);",
      to: "this.#receivers.add(receiver);",
    },
    {
      id: "M1101",
      title: "a read that is older than the event is sent",
      failure: "a gateway's watches lack the last state, because another node has not applied it yet",
      from: 'return state.revision >= wanted ? state : await this.#readState("linearizable");',
      to: "return state;",
    },
    {
      id: "M1102",
      title: "the first read is stale",
      failure: "a program does not see its own write in the first frame",
      from: 'const state = this.#readState("linearizable");',
      to: 'const state = this.#readState("stale");',
    },
    {
      id: "M1103",
      title: "a client that begins to watch gets the result of a read that has begun before",
      failure: "a program does not see its own write in the first frame",
      from: "this.#nextRead = null;\n      const state",
      to: "const state",
    },
    {
      id: "M1104",
      title: "a failed read ends the watch",
      failure: "an election ends all watches, whose clients wait seconds before they watch again",
      from: "if (!isTransient(error)) return this.#fail(error);",
      to: "return this.#fail(error);",
    },
    {
      id: "M1105",
      title: "frames have no pace",
      failure: "a key that is written often costs a read and a frame for each write",
      from: "if (waitMs > 0) await pause",
      to: "if (waitMs > 1e9) await pause",
    },
    {
      id: "M1106",
      title: "a client that does not read is sent frames",
      failure: "a client that does not read takes memory without bound",
      from: "if (!receiver.isReady || receiver.revision >= state.revision) continue;",
      to: "if (receiver.revision >= state.revision) continue;",
    },
    {
      id: "M1107",
      title: "states are read for clients that do not read",
      failure: "a client that does not read costs ten reads a second for each of its watches",
      from: "return isReady && revision < this.#wanted;",
      to: "return revision < this.#wanted;",
    },
    {
      id: "M1108",
      title: "a watch that cannot go on leaves its streams open",
      failure: "a client waits for changes that are never sent",
      from: "for (const receiver of this.#receivers) receiver.end();",
      to: "",
    },
  ]),
  ...inFile("lib/denokv/watch/frames.ts", [DENOKV_WATCH], [
    {
      id: "M1109",
      title: "the first frame leaves out keys that do not exist",
      failure: "Deno's client fails with a TypeError",
      from: "sent !== null && this.versions[position] === sent[position]",
      to: "this.versions[position] === (sent?.[position] ?? 0)",
    },
    {
      id: "M1110",
      title: "a frame has the entries that have not changed",
      failure: "ten keys of 64 KiB are sent again for each change of one",
      from: "sent !== null && this.versions[position] === sent[position]",
      to: "sent !== null && sent.length === 0",
    },
  ]),
  ...inFile("lib/denokv/watch/watch_stream.ts", [DENOKV_WATCH], [
    {
      id: "M1111",
      title: "a client that reads again is sent nothing until the next change",
      failure: "a slow client lacks the last state",
      from: "this.#owner.onReady();",
      to: "",
    },
    {
      id: "M1112",
      title: "a frame is sent though the keys of the watch are the same",
      failure: "a watch is sent a frame for each change of another watch's keys",
      from: "if (!state.differsFrom(this.#sent)) return;",
      to: "",
    },
    {
      id: "M1113",
      title: "frames follow the end of a stream",
      failure: "a client with a removed access token is sent values",
      from: "this.#isEnded = true;\n",
      to: "",
    },
    {
      id: "M1114",
      title: "empty frames are queued for a client that does not read",
      failure: "a client that does not read takes memory without bound",
      from: "if (!this.isReady || this.#owner.now()",
      to: "if (this.#owner.now()",
    },
  ]),
  ...inFile("lib/denokv/watch/watches.ts", [DENOKV_WATCH], [
    {
      id: "M1115",
      title: "an access token that is removed while a watch begins leaves it open",
      failure: "a removed access token reads changes for as long as its stream is open",
      from: "if (!this.#options.isAllowed(access)) throw",
      to: "if (access.databaseId < 0) throw",
    },
    {
      id: "M1116",
      title: "watches without a client go on",
      failure: "each client that goes away leaves a watch in the node",
      from: "shared.keys.stop();",
      to: "",
    },
    {
      id: "M1117",
      title: "keys that failed are shared with new watches",
      failure: "while one client does not read, others cannot watch the same keys",
      from: "if (shared === undefined || shared.keys.isStopped) {",
      to: "if (shared === undefined) {",
    },
    {
      id: "M1118",
      title: "watches of different databases are shared",
      failure: "a watch shows the values of another database",
      from: "const name = [databaseId, ...keys",
      to: "const name = [0, ...keys",
    },
  ]),
  ...inFile("lib/web/http2/stream.ts", [WEB_READER], [
    {
      id: "M1119",
      title: "a client that does not read is sent as much as the window of a stream accepts",
      failure: "some watches that a program does not read hold up all calls of its handle for good",
      from: "return this.sendWindow.unreadShare > MAX_UNREAD_OF_STREAM ||",
      to: "return this.sendWindow.unreadShare > 1 ||",
    },
  ]),
  ...inFile("lib/web/http2/stream.ts", [WEB_READER], [
    {
      id: "M1121",
      title: "a client that does not read is sent as much as the window of its connection accepts",
      failure: "some watches that a program does not read hold up all calls of its handle for good",
      from: "this.#owner.sendWindow.unreadShare > MAX_UNREAD_OF_CONNECTION;",
      to: "this.#owner.sendWindow.unreadShare > 1;",
    },
  ]),
  ...inFile("lib/web/http2/connection.ts", [WEB_READER], [
    {
      id: "M1120",
      title: "a stream whose client reads again is not noticed",
      failure: "a watch whose program was slow once is sent nothing more",
      from: "if (stream.readerMoved()) this.#awaitingReader.delete(stream);\n  }\n\n  onStreamError",
      to: "}\n\n  onStreamError",
    },
  ]),
  ...inFile("lib/denokv/watch/watches.ts", [DENOKV_WATCH], [
    {
      id: "M2629",
      title: "the bytes of watched keys that have ended still count",
      failure: "a node takes no watch any more after some days",
      from: "      this.#keyBytes -= bytes;\n",
      to: "",
    },
    {
      id: "M2630",
      title: "the bytes of watched keys have no bound",
      failure: "a client with a token fills the memory of a node",
      from: "if (this.#keyBytes + bytes > MAX_WATCHED_BYTES)",
      to: "if (bytes > MAX_WATCHED_BYTES)",
    },
    {
      id: "M2631",
      title: "watched keys keep the body of their request",
      failure: "a client with a token fills the memory of a node by bodies that have one key and much else",
      from: "keys.map((key) => key.slice())",
      to: "keys",
    },
    {
      id: "M1014",
      title: "open watches are checked again only when a database or an access token changes",
      failure: "a program without a token watches on after authentication was enabled",
      from: "    this.recheck();\n",
      to: "",
    },
  ]),
];
