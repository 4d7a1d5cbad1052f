/** Parses the head of a request of HTTP/1.1 as strictly as RFC 9112 demands. */
import {
  type Field,
  FieldList,
  isFieldValue,
  parseContentLength,
  splitTarget,
  TOKEN,
  trimmed,
} from "../fields.ts";

/** The head of a request. */
export interface RequestHead {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly query: string;
  /** 1 for HTTP/1.1; 0 for HTTP/1.0. */
  readonly minorVersion: number;
  readonly fields: FieldList;
}

/** Why a head is refused. */
export interface HeadProblem {
  readonly status: 400 | 501 | 505;
  /** A part of a sentence. */
  readonly reason: string;
}

/** Extent of a body: a number of bytes, or chunks until one is empty. */
export type Framing = { readonly kind: "length"; readonly bytes: number } | { readonly kind: "chunked" };

const REQUEST_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) HTTP\/([0-9])\.([0-9])$/;
/** A name, an IPv4 address or an IPv6 address in brackets, and perhaps a port; it may be empty (RFC 9110 §7.2). */
const HOST = /^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]*)?$/;

/** Parses a head, which is everything before the empty line, one character for each byte. */
export function parseRequestHead(head: string): RequestHead | HeadProblem {
  const [requestLine = "", ...fieldLines] = head.split("\r\n");
  const parts = REQUEST_LINE.exec(requestLine);
  if (parts === null) return badRequest("the first line is not that of an HTTP/1.1 request");
  const [, method = "", target = "", major, minor] = parts;
  if (major !== "1") return { status: 505, reason: "this is not HTTP/1.1" };
  const fields: Field[] = [];
  for (const line of fieldLines) {
    const field = parseField(line);
    if (field === null) return badRequest("a header line has no name, or its name or value is not one");
    fields.push(field);
  }
  // RFC 9112 §3.2. HTTP/1.0 has no Host.
  const hosts = fields.filter(({ name }) => name === "host");
  if (hosts.length > 1 || (hosts.length === 0 && minor !== "0")) {
    return badRequest("there must be one Host header");
  }
  if (!hosts.every(({ value }) => HOST.test(value))) return badRequest("the Host header is not a host");
  const path = pathOf(target);
  if (path === null) return badRequest("what is asked for is not a path");
  return { method, ...path, minorVersion: Number(minor), fields: new FieldList(fields) };
}

/** Returns the extent of a request's body (RFC 9112 §6.3). Both fields at once are refused: they are used for smuggling. */
export function framingOf({ fields, minorVersion }: RequestHead): Framing | HeadProblem {
  const coding = fields.get("transfer-encoding");
  const length = fields.get("content-length");
  if (coding !== null) {
    if (length !== null) return badRequest("it has a Transfer-Encoding and a Content-Length");
    if (minorVersion === 0) return badRequest("HTTP/1.0 has no Transfer-Encoding");
    if (coding.toLowerCase() === "chunked") return { kind: "chunked" };
    return { status: 501, reason: "the only Transfer-Encoding is chunked" };
  }
  const bytes = length === null ? 0 : parseContentLength(length);
  return bytes === null ? badRequest("the Content-Length is not a number") : { kind: "length", bytes };
}

/** Whether the client allows another request on the connection. */
export function isKeptAlive({ fields, minorVersion }: RequestHead): boolean {
  const options = (fields.get("connection") ?? "").toLowerCase().split(",").map((option) => option.trim());
  return minorVersion > 0 && !options.includes("close");
}

function parseField(line: string): Field | null {
  const colon = line.indexOf(":");
  const name = line.slice(0, Math.max(colon, 0));
  if (!TOKEN.test(name)) return null;
  const value = trimmed(line.slice(colon + 1));
  return isFieldValue(value) ? { name: name.toLowerCase(), value } : null;
}

/** Returns path and query of a request's target; null where there is none. */
function pathOf(target: string): { readonly path: string; readonly query: string } | null {
  if (target.startsWith("/")) return splitTarget(target.split("#", 1)[0] ?? target);
  if (target === "*") return { path: target, query: "" }; // OPTIONS *
  // The absolute form, which is sent to proxies. Its path is taken as it is: a proxy may have decided by it.
  const [, rest = null] = /^https?:\/\/[^/?#]+([^#]*)/i.exec(target) ?? [];
  if (rest === null || URL.parse(target) === null) return null;
  return splitTarget(rest.startsWith("/") ? rest : `/${rest}`);
}

function badRequest(reason: string): HeadProblem {
  return { status: 400, reason };
}
