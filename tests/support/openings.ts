/** First bytes of real clients of other protocols, for tests of a node's reaction. */

/** The first bytes of a connection and what they should be recognised as. */
export interface Opening {
  readonly looksLike: string;
  readonly bytes: Uint8Array;
}

const text = (begin: string): Uint8Array => Uint8Array.from(begin, (character) => character.charCodeAt(0));

/** Openings that a client sends. */
export const OPENINGS: readonly Opening[] = [
  { looksLike: "HTTP", bytes: text("GET / HTTP/1.1\r\nHost: 127.0.0.1:7001\r\n\r\n") },
  { looksLike: "HTTP", bytes: text("OPTIONS * HTTP/1.0\r\n\r\n") },
  // curl --http2-prior-knowledge, and every gRPC client.
  { looksLike: "HTTP/2 or gRPC", bytes: text("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\x04\0\0\0\0\0") },
  // openssl s_client: a record of 0x134 bytes with a ClientHello.
  { looksLike: "TLS", bytes: text("\x16\x03\x01\x01\x34\x01\0\x01\x30\x03\x03") },
  { looksLike: "SSH", bytes: text("SSH-2.0-OpenSSH_9.6\r\n") },
  // redis-cli.
  { looksLike: "Redis", bytes: text("*2\r\n$7\r\nCOMMAND\r\n$4\r\nDOCS\r\n") },
  // psql asks for encryption first; older drivers send their startup message.
  { looksLike: "PostgreSQL", bytes: text("\0\0\0\x08\x04\xd2\x16\x2f") },
  { looksLike: "PostgreSQL", bytes: text("\0\0\0\x29\0\x03\0\0user\0postgres\0database\0postgres\0\0") },
  { looksLike: "SMTP or FTP", bytes: text("EHLO relay.example\r\n") },
];

/** First bytes that servers of other protocols send, by themselves or in answer to a hello. */
export const ANSWERS: readonly Opening[] = [
  { looksLike: "HTTP", bytes: text("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n") },
  { looksLike: "HTTP/2 or gRPC", bytes: text("\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80") },
  { looksLike: "TLS", bytes: text("\x15\x03\x03\0\x02\x02\x46") },
  { looksLike: "SSH", bytes: text("SSH-2.0-dropbear\r\n") },
  { looksLike: "Redis", bytes: text("-ERR Protocol error: expected '$', got ' '\r\n") },
  { looksLike: "PostgreSQL", bytes: text("E\0\0\0\x95SFATAL\0VFATAL\0C0A000\0") },
  { looksLike: "MySQL", bytes: text("\x4a\0\0\0\n8.0.36\0") },
  { looksLike: "SMTP or FTP", bytes: text("220 relay.example ESMTP\r\n") },
];
