/**
 * Tickets: the text by which the holder of a sign-in by password signs in again, at any node, without the password. Front
 * ends give them to clients of other protocols as tokens.
 *
 * A ticket is signed with a key that is derived from the password, which a node has only while it checks one. The cluster stores
 * the public key: every node can check a ticket, and neither a node's disk nor a backup helps to make one. So a ticket needs no
 * entry of the log, and ends when the password is changed or the user removed (lib/server/auth/tickets.ts).
 */

/** The content of a ticket. */
export interface Ticket {
  /** As in Identity. */
  readonly userId: number;
  /** The auth revision at which the password was set. */
  readonly credential: number;
  /** Wall-clock time at which a node has made it, in milliseconds since 1970. */
  readonly issuedAtMs: number;
}

/** A ticket as it was read, with its Ed25519 signature in base64url. */
export interface SignedTicket extends Ticket {
  readonly signature: string;
}

/** Three integers in decimal, and 64 bytes in base64url without padding: of the last character two bits are used. */
const FORM =
  /^kve_(0|[1-9][0-9]{0,15})\.(0|[1-9][0-9]{0,15})\.(0|[1-9][0-9]{0,15})\.([A-Za-z0-9_-]{85}[AQgw])$/;

/** Returns the part of a ticket that is signed. */
export function contentOfTicket({ userId, credential, issuedAtMs }: Ticket): string {
  return `kve_${userId}.${credential}.${issuedAtMs}`;
}

/** Returns the text of a ticket. */
export function formatTicket(ticket: SignedTicket): string {
  return `${contentOfTicket(ticket)}.${ticket.signature}`;
}

/** Returns the content of a text that has the form of a ticket; null for another text. */
export function readTicket(text: string): SignedTicket | null {
  const [, userId, credential, issuedAtMs, signature] = FORM.exec(text) ?? [];
  if (signature === undefined) return null;
  const ticket = {
    userId: Number(userId),
    credential: Number(credential),
    issuedAtMs: Number(issuedAtMs),
    signature,
  };
  const numbers = [ticket.userId, ticket.credential, ticket.issuedAtMs];
  return numbers.every(Number.isSafeInteger) ? ticket : null;
}

/**
 * Returns a text that two secrets share if, and only if, they are of the same right to sign in: the tickets of one password, or
 * the same token. The holder of a token has chosen its text, which therefore must not stand for a ticket of another user.
 */
export function signInKeyOf(secret: string): string {
  const ticket = readTicket(secret);
  return ticket === null ? `token ${secret}` : `ticket ${ticket.userId}.${ticket.credential}`;
}
