/** Tickets of sign-ins by password: made by the node that checked the password, accepted by every node (lib/protocol/ticket.ts). */
import { createHmac, timingSafeEqual } from "node:crypto";
import { Buffer } from "node:buffer";
import type { AuthState, User } from "../../kv/mod.ts";
import { contentOfTicket, formatTicket, type SignedTicket, type Ticket } from "../../protocol/ticket.ts";

/**
 * Time for which a ticket signs in. A front end accepts one for a shorter time without use; it needs one for longer to
 * connect again for a client that has used it since.
 */
export const TICKET_LIFE_MS = 24 * 3_600_000;

/** Returns a ticket for a user; null for one without a password. */
export function createTicket(user: User, issuedAtMs: number): string | null {
  if (user.password === null) return null;
  const ticket = { userId: user.id, credential: user.passwordRevision, issuedAtMs };
  return formatTicket({ ...ticket, signature: signatureOf(ticket, user.password.hash) });
}

/** Returns the user of a ticket; null if the ticket is not one of the user's present password. */
export function userOfTicket(ticket: SignedTicket, auth: AuthState): User | null {
  const user = auth.userById(ticket.userId);
  if (user === null || user.password === null || user.passwordRevision !== ticket.credential) return null;
  const [expected, shown] = [signatureOf(ticket, user.password.hash), ticket.signature].map((text) =>
    Buffer.from(text, "base64url")
  );
  if (expected === undefined || shown === undefined || expected.length !== shown.length) return null;
  return timingSafeEqual(expected, shown) ? user : null;
}

function signatureOf(ticket: Ticket, key: Uint8Array): string {
  return createHmac("sha256", key).update(contentOfTicket(ticket)).digest("base64url");
}
