/**
 * The rights of this node's front end for Deno KV, which is a client within its process and has no user: to read the reserved
 * keys, and to write to databases by the access tokens of its own clients (`Writes.submit`). It has no others while
 * authentication is enabled.
 *
 * A connection becomes one of a front end where it is opened (`ConnectionListener.connectInProcess`), and its
 * ConnectionIdentity says so; nothing that comes over a socket does.
 */
import {
  type Command,
  isReserved,
  type KeySet,
  NO_CREDENTIAL,
  NODE_IDENTITY,
  type PlainCommand,
} from "../../kv/mod.ts";
import type { ClientRequest } from "../../protocol/client_frames.ts";
import { type ErrorAnswer, notApplied } from "../reply.ts";

/** Returns why a request of a front end is refused, or null. Of a write, its command is looked at later. */
export function refusalOfFrontEnd(request: ClientRequest): ErrorAnswer | null {
  return mayRequest(request) ? null : refusal();
}

/** Returns why the command of a front end's write is refused, or null. */
export function refusalOfFrontEndCommand(
  command: PlainCommand,
  { isAuthEnabled }: { readonly isAuthEnabled: boolean },
): ErrorAnswer | null {
  if (command.kind !== "databaseWrite") return refusal();
  if (!isAuthEnabled || command.credentialId !== NO_CREDENTIAL) return null;
  return notApplied("unauthenticated", "Cannot write to the database: it needs an access token.");
}

/** Whether a command is a write by an access token that a node has taken from a front end of its own. */
export function isOfFrontEnd(command: Command): boolean {
  return command.kind === "authorized" && command.identity.userId === NODE_IDENTITY.userId &&
    command.command.kind === "databaseWrite" && command.command.credentialId !== NO_CREDENTIAL;
}

/** Whether keys are reserved ones. */
export function isOfDatabases(keys: KeySet): boolean {
  return isReserved(keys.kind === "key" ? keys.key : keys.start);
}

function mayRequest(request: ClientRequest): boolean {
  switch (request.kind) {
    case "get":
      return isReserved(request.key);
    case "readRanges":
      return request.ranges.every(({ start }) => isReserved(start));
    case "watch":
      return isOfDatabases(request.keys);
    case "write":
    case "cancelWatch":
    case "watchProgress":
    case "listDatabases":
    case "status":
      return true;
    default:
      return false;
  }
}

function refusal(): ErrorAnswer {
  return notApplied("permissionDenied", "Cannot do this: a front end reads and writes databases alone.");
}
