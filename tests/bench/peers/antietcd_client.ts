/** A client of antietcd: HTTP/1.1 with JSON over persistent connections, pipelined. */
import type { Target } from "../../../lib/loadgen/mod.ts";
import { Replies } from "./replies.ts";
import { TurnSocket } from "./turn_socket.ts";

const OK = "HTTP/1.1 200";
const HEAD_END = "\r\n\r\n";
const utf8 = new TextEncoder();
const latin1 = new TextDecoder("latin1");

/** A connection to one node. */
export class AntietcdTarget implements Target {
  readonly #socket: TurnSocket;
  readonly #replies: Replies;
  readonly #address: string;
  /** The value of the last put and its base64: all values of a run are one. */
  #encoded: { readonly value: Uint8Array; readonly base64: string } = { value: new Uint8Array(), base64: "" };

  private constructor(address: string, socket: TurnSocket, replies: Replies) {
    this.#address = address;
    this.#socket = socket;
    this.#replies = replies;
    void socket.ended.then((reason) => replies.end(reason));
  }

  /** Connects. */
  static async connect(address: string): Promise<AntietcdTarget> {
    const replies = new Replies();
    const socket = await TurnSocket.connect(address, (bytes) => consume(bytes, replies));
    return new AntietcdTarget(address, socket, replies);
  }

  put(key: string, value: Uint8Array): Promise<void> {
    if (this.#encoded.value !== value) this.#encoded = { value, base64: value.toBase64() };
    return this.#post("/v3/kv/put", `{"key":"${btoa(key)}","value":"${this.#encoded.base64}"}`);
  }

  get(key: string): Promise<void> {
    return this.#post("/v3/kv/range", `{"key":"${btoa(key)}"}`);
  }

  /** Ends the connection. */
  close(): void {
    this.#socket.close();
  }

  #post(path: string, body: string): Promise<void> {
    const request = `POST ${path} HTTP/1.1\r\nHost: ${this.#address}\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${body.length}${HEAD_END}${body}`;
    // All of it is ASCII: a byte for each character.
    utf8.encodeInto(request, this.#socket.reserve(request.length));
    return this.#replies.wait();
  }
}

function consume(bytes: Uint8Array, replies: Replies): number {
  const text = latin1.decode(bytes);
  let used = 0;
  while (true) {
    const headEnd = text.indexOf(HEAD_END, used);
    if (headEnd === -1) return used;
    const head = text.slice(used, headEnd);
    const bodyAt = headEnd + HEAD_END.length;
    const [, length] = /\r\ncontent-length: *(\d+)/i.exec(head) ?? [];
    const end = length === undefined ? endOfChunks(text, bodyAt) : bodyAt + Number(length);
    if (end === null || end > text.length) return used;
    replies.answer(head.startsWith(OK) ? null : `${head.split("\r\n", 1)[0]}: ${text.slice(bodyAt, end)}`);
    used = end;
  }
}

/** Returns the end of a chunked body; null while it is incomplete. */
function endOfChunks(text: string, start: number): number | null {
  let position = start;
  while (true) {
    const lineEnd = text.indexOf("\r\n", position);
    if (lineEnd === -1) return null;
    const length = parseInt(text.slice(position, lineEnd), 16);
    position = lineEnd + 2 + length + 2;
    if (position > text.length) return null;
    if (length === 0) return position;
  }
}
