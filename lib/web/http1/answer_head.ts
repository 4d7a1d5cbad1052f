/** Writes the heads of answers of HTTP/1.1. */
import { assert } from "../../platform/assert.ts";
import type { ByteQueue } from "../byte_queue.ts";
import { forEachField } from "../fields.ts";
import { TEXT_HEADERS } from "../run_handler.ts";
import type { WebHeaders } from "../types.ts";

const REASONS: Readonly<Record<number, string>> = {
  200: "OK",
  204: "No Content",
  304: "Not Modified",
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  409: "Conflict",
  411: "Length Required",
  413: "Content Too Large",
  415: "Unsupported Media Type",
  421: "Misdirected Request",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  501: "Not Implemented",
  503: "Service Unavailable",
  505: "HTTP Version Not Supported",
};

/** Returns the phrase of a status; empty, as it may be, for a rare one. */
export function reasonOf(status: number): string {
  return REASONS[status] ?? "";
}

/** Appends a head. Throws, and appends nothing, if a field is invalid. */
export function appendHead(
  queue: ByteQueue,
  { status, headers, own }: {
    readonly status: number;
    readonly headers: WebHeaders;
    /** Fields that the server adds. */
    readonly own: readonly (readonly [name: string, value: string])[];
  },
): void {
  assert(status >= 200 && status <= 599, "an answer has a final status");
  let head = `HTTP/1.1 ${status} ${reasonOf(status)}\r\n`;
  for (const [name, value] of own) head += `${name}: ${value}\r\n`;
  forEachField(headers, (name, value) => head += `${name}: ${value}\r\n`);
  queue.latin1(`${head}\r\n`);
}

/** Appends a whole answer in text, after which the connection is closed. */
export function appendSimpleAnswer(
  queue: ByteQueue,
  { status, body, withBody }: { readonly status: number; readonly body: string; readonly withBody: boolean },
): void {
  const own: [string, string][] = [["content-length", String(body.length)], ["connection", "close"]];
  appendHead(queue, { status, headers: TEXT_HEADERS, own });
  if (withBody) queue.latin1(body);
}
