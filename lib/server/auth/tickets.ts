/** Tickets of sign-ins by password: made by the node that checked the password, accepted by every node (lib/protocol/ticket.ts). */
import type { AuthState, User } from "../../kv/mod.ts";
import { isSignedBy, signedBy } from "../../platform/secrets.ts";
import { contentOfTicket, formatTicket, type SignedTicket } from "../../protocol/ticket.ts";

/**
 * Time for which a ticket signs in. A front end accepts one for a shorter time without use; it needs one for longer to
 * connect again for a client that has used it since.
 */
export const TICKET_LIFE_MS = 24 * 3_600_000;

/** Returns a ticket for a user whose present password has this seed ({@link PasswordChecks.check}). */
export function createTicket(user: User, seed: Uint8Array, issuedAtMs: number): string {
  const ticket = { userId: user.id, credential: user.passwordRevision, issuedAtMs };
  const signature = signedBy(seed, contentOfTicket(ticket));
  return formatTicket({
    ...ticket,
    signature: signature.toBase64({ alphabet: "base64url", omitPadding: true }),
  });
}

/** Returns the user of a ticket; null if the ticket is not one of the user's present password. */
export function userOfTicket(ticket: SignedTicket, auth: AuthState): User | null {
  const user = auth.userById(ticket.userId);
  if (user === null || user.password === null || user.passwordRevision !== ticket.credential) return null;
  const signature = Uint8Array.fromBase64(ticket.signature, { alphabet: "base64url" });
  return isSignedBy(user.password.hash, contentOfTicket(ticket), signature) ? user : null;
}
