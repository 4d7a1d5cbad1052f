/** How a client signs in: the options of a connection, checked. */
import { checkObject, checkText, describeValue } from "../argument_checks.ts";
import { InvalidRequestError } from "../errors.ts";
import type { ConnectOptions } from "../types.ts";
import { checkPassword, checkUserName } from "./input.ts";

/** A secret, or the function that returns the present one. */
export type SecretSource = string | (() => string | Promise<string>);

/** How a client signs in. */
export type Credentials =
  | { readonly kind: "password"; readonly user: string; readonly secret: SecretSource }
  | { readonly kind: "token"; readonly secret: SecretSource }
  /** As no user, also where the client shows a certificate of one. */
  | { readonly kind: "none"; readonly secret: "" };

/** Returns how the options of a connection sign in; null for a client that does not. Throws InvalidRequestError. */
export function toCredentials(options: ConnectOptions): Credentials | null {
  const { user, password, token } = checkObject(options, "the options of connect");
  if (token !== undefined) {
    if (user !== undefined || password !== undefined) {
      throw new InvalidRequestError(
        "Cannot sign in by a token and by a password: pass a token, or a user and a password.",
      );
    }
    return { kind: "token", secret: checkSource(token, "a token") };
  }
  if (user === undefined && password === undefined) return null;
  if (user === undefined || password === undefined) {
    throw new InvalidRequestError(
      `Cannot sign in without ${user === undefined ? "a user" : "a password"}: pass both, or neither.`,
    );
  }
  return { kind: "password", user: checkUserName(user), secret: checkSource(password, "a password") };
}

function checkSource(source: SecretSource, what: string): SecretSource {
  if (typeof source === "function") return source;
  if (typeof source !== "string") {
    throw new InvalidRequestError(
      `Cannot use ${describeValue(source)} as ${what}: pass text, or a function that returns it.`,
    );
  }
  return checkPassword(checkText(source, what), what);
}
