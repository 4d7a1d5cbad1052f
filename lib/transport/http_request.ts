/** Reading the head of an HTTP/1.1 request (RFC 9112), as far as a node needs it: what is asked for, and by what rules. */
import type { HttpRequest, HttpResponse } from "../platform/network.ts";

const TEXT = "text/plain; charset=utf-8";

const BAD_VERSION: HttpResponse = {
  status: 505,
  contentType: TEXT,
  body: "Cannot answer: this is not HTTP/1.1. Use HTTP/1.1 without encryption.\n",
};

const REQUEST_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) HTTP\/([0-9])\.([0-9])$/;
const FIELD_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/;
/** A name, an IPv4 address or an IPv6 address in brackets, and perhaps a port; it may be empty (RFC 9110 §7.2). */
const HOST = /^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]*)?$/;

/**
 * Reads a head, which is everything before the empty line; returns what to answer where it is no request that can be
 * served. Nothing but method and path is used; the rest is only checked for what RFC 9112 demands.
 */
export function parseRequestHead(head: string): HttpRequest | HttpResponse {
  const [requestLine = "", ...fieldLines] = head.split("\r\n");
  const parts = REQUEST_LINE.exec(requestLine);
  if (parts === null) return badRequest("the first line is not that of an HTTP/1.1 request");
  const [, method = "", target = "", major, minor] = parts;
  if (major !== "1") return BAD_VERSION;
  const hosts: string[] = [];
  for (const line of fieldLines) {
    const field = FIELD_LINE.exec(line);
    if (field === null) return badRequest("a header line has no name, or its name is not one");
    if (field[1]?.toLowerCase() === "host") hosts.push(field[2] ?? "");
  }
  // RFC 9112 §3.2. HTTP/1.0 has no Host.
  if (hosts.length > 1 || (hosts.length === 0 && minor !== "0")) {
    return badRequest("there must be one Host header");
  }
  if (!hosts.every((host) => HOST.test(host))) return badRequest("the Host header is not a host");
  const path = pathOf(target);
  return path === null ? badRequest("what is asked for is not a path") : { method, path };
}

/** Returns the path of a request's target, without its query; null where there is none. */
function pathOf(target: string): string | null {
  if (target.startsWith("/")) return target.split(/[?#]/, 1)[0] ?? target;
  if (target === "*") return target; // OPTIONS *
  // What a proxy is asked for.
  const url = /^https?:\/\//i.test(target) ? URL.parse(target) : null;
  return url?.pathname ?? null;
}

function badRequest(reason: string): HttpResponse {
  return { status: 400, contentType: TEXT, body: `Cannot read the request: ${reason}.\n` };
}
