/** The failure of a client that reaches no node: one error for all dials, and whether a later dial may succeed. */
import { NetworkError, type NetworkErrorCode } from "../platform/errors.ts";
import { HandshakeError } from "../protocol/errors.ts";
import type { FailedDial } from "./dials.ts";
import { AuthenticationError, ConnectionError, type KvraftError, VersionMismatchError } from "./errors.ts";
import { reasonWithin, type Unreachable } from "./retry.ts";

/** The reasons of failed dials for which dialing the same address again cannot succeed. */
const FINAL_REASONS: readonly (HandshakeError["code"] | NetworkErrorCode)[] = [
  "versionMismatch",
  "wrongCluster",
  "notKvraft",
  "tlsRequired",
  "notTrusted",
  "badHello",
  "certificateRequired",
  "certificateRefused",
  "notPermitted",
];

/** Returns one failure for all addresses that were tried, of the class of their reason if they share one. */
export function unreachable(failures: readonly FailedDial[]): Unreachable {
  for (const { error } of failures) {
    // One node has the users of all.
    if (error instanceof AuthenticationError) return { kind: "unreachable", error, hope: "none" };
  }
  const reasons = failures.map(({ address, error }) => `${address}: ${reasonWithin(error.message)}`);
  const isAlways = (...codes: readonly string[]): boolean =>
    failures.length > 0 &&
    failures.every(({ error }) =>
      (error instanceof HandshakeError || error instanceof NetworkError) && codes.includes(error.code)
    );
  const message = `Cannot reach the cluster: ${
    reasons.length === 0 ? "there is no address to dial" : reasons.join("; ")
  }.${adviceFor(isAlways)}`;
  return {
    kind: "unreachable",
    error: unreachableError(message, isAlways),
    hope: isAlways("busy") ? "later" : isAlways(...FINAL_REASONS) ? "none" : "soon",
  };
}

/** Returns what to check, after a space; nothing where the reasons of the nodes say it. */
function adviceFor(isAlways: (...codes: readonly string[]) => boolean): string {
  if (isAlways("tlsRequired", "certificateRequired", "certificateRefused")) return "";
  return isAlways("notTrusted")
    ? " Check the address, and the authorities that this client trusts (--tls-ca, in the library the option tls)."
    : " Check that its nodes run and the addresses are right.";
}

function unreachableError(
  message: string,
  isAlways: (...codes: readonly string[]) => boolean,
): KvraftError {
  if (isAlways("versionMismatch")) return new VersionMismatchError(message);
  if (isAlways("certificateRequired", "certificateRefused")) {
    return new AuthenticationError(message, { reason: "certificate", user: null });
  }
  return new ConnectionError(message);
}
