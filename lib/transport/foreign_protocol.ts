/**
 * What a connection that does not speak kvraft's protocol speaks instead, as far as its first bytes tell. Clients and
 * servers of other protocols end up at a node's port, and kvraft's client at theirs, by a wrong port number.
 */

/** Bytes from which every protocol below is told; more are not looked at. */
const MAX_RECOGNISED_BYTES = 24;

type Beginnings = readonly (readonly [looksLike: string, beginning: RegExp])[];

/** Protocols of text, by their first characters. */
const TEXT_PROTOCOLS: Beginnings = [
  ["HTTP/2 or gRPC", /^PRI \* HTTP\/2/],
  ["HTTP", /^(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH|CONNECT|TRACE) |^HTTP\/1/],
  ["SSH", /^SSH-/],
  // An array as clients send it; a status or an error as servers do.
  ["Redis", /^\*[0-9]{1,7}\r\n|^\+(?:OK|PONG)\r\n|^-(?:ERR|NOAUTH|DENIED) /],
  ["SMTP or FTP", /^220[ -]|^(?:EHLO|HELO) /],
];

/** Protocols of bytes, by their first ones in hexadecimal. */
const BINARY_PROTOCOLS: Beginnings = [
  // A server's SETTINGS frame: 3 bytes of length, type 4, flags, stream 0.
  ["HTTP/2 or gRPC", /^00....040[01]00000000/],
  // A record of TLS 1.0 to 1.3 that holds a handshake or an alert.
  ["TLS", /^1[56]030[0-4]/],
  // SSLRequest, GSSENCRequest and CancelRequest; the startup message of version 3.
  ["PostgreSQL", /^000000(?:08|10)04d2162[ef]|^0000000804d21630|^0000....0003000[0-2]/],
  // A server's error: "E", a length, and "S" with the severity.
  ["PostgreSQL", /^450000....53(?:46415441|4552524f)/],
  // A server's greeting or error: 3 bytes of length, number 0, then protocol 10 and a version, or 255.
  ["MySQL", /^....0000(?:0a3[0-9]|ff)/],
];

/**
 * Returns what the first bytes of a connection look like; null while they may be kvraft's, or nothing that is known.
 *
 * @example
 * ```ts
 * import { recogniseProtocol } from "./foreign_protocol.ts";
 * recogniseProtocol(new TextEncoder().encode("GET / HTTP/1.1\r\n")); // "HTTP"
 * ```
 */
export function recogniseProtocol(bytes: Uint8Array): string | null {
  const first = [...bytes.subarray(0, MAX_RECOGNISED_BYTES)];
  const text = String.fromCharCode(...first);
  const hexadecimal = first.map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const known = TEXT_PROTOCOLS.find(([, beginning]) => beginning.test(text)) ??
    BINARY_PROTOCOLS.find(([, beginning]) => beginning.test(hexadecimal));
  return known?.[0] ?? null;
}
