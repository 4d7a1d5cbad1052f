/** Turns the fields of a header block into the head of a request, or says why it is malformed (RFC 9113 §8). */
import {
  type Field,
  FieldList,
  isFieldValue,
  parseContentLength,
  splitTarget,
  TOKEN,
  trimmed,
} from "../fields.ts";
import type { DecodedField } from "../hpack/decoder.ts";

/** The head of a request. */
export interface RequestHead {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly fields: FieldList;
  readonly contentLength: number | null;
}

/** Fields of HTTP/1.1 that concern a connection (RFC 9113 §8.2.2). */
const CONNECTION_FIELDS: ReadonlySet<string> = new Set([
  "connection",
  "proxy-connection",
  "keep-alive",
  "transfer-encoding",
  "upgrade",
]);
const PATH = /^(?:\/[!-~\x80-\xff]*|\*)$/;
const SCHEME = /^[A-Za-z][A-Za-z0-9+.-]*$/;

/** The pseudo-header fields of a request; null where one is missing. */
type Pseudo = Record<":method" | ":scheme" | ":path" | ":authority", string | null>;

/** Returns the head, or a sentence that says why the request is malformed. */
export function requestHeadOf(decoded: readonly DecodedField[]): RequestHead | string {
  const pseudo: Pseudo = { ":method": null, ":scheme": null, ":path": null, ":authority": null };
  const fields: Field[] = [];
  for (const received of decoded) {
    const isPseudo = received.name.startsWith(":");
    const field = isPseudo || received.isValid ? received : withoutOuterBlanks(received);
    const problem = isPseudo ? pseudoProblem(field, pseudo, fields.length > 0) : fieldProblem(field);
    if (problem !== null) return problem;
    if (!isPseudo) fields.push(field);
  }
  const { ":method": method, ":scheme": scheme, ":path": path, ":authority": authority } = pseudo;
  if (method === null || !TOKEN.test(method)) return "it has no method";
  if (method === "CONNECT") {
    if (scheme !== null || path !== null) return "a CONNECT has a scheme or a path";
    return head({ method, target: "*", fields });
  }
  if (scheme === null || !SCHEME.test(scheme)) return "it has no scheme";
  if (path === null || !PATH.test(path)) return "it has no path";
  if (authority !== null && !fields.some(({ name }) => name === "host")) {
    fields.push({ name: "host", value: authority });
  }
  return head({ method, target: path, fields });
}

/** Returns why fields behind a body are malformed, or null. */
export function trailersProblem(decoded: readonly DecodedField[]): string | null {
  for (const field of decoded) {
    if (field.name.startsWith(":")) return "a pseudo-header field is behind the body";
    const problem = fieldProblem(field);
    if (problem !== null) return problem;
  }
  return null;
}

function head(
  { method, target, fields }: {
    readonly method: string;
    readonly target: string;
    readonly fields: readonly Field[];
  },
): RequestHead | string {
  const list = new FieldList(fields);
  const declared = list.get("content-length");
  const contentLength = declared === null ? null : parseContentLength(declared);
  if (declared !== null && contentLength === null) return "its content-length is not a number";
  return { method, ...splitTarget(target), fields: list, contentLength };
}

/** Notes a pseudo-header field; returns why it is malformed, or null. */
function pseudoProblem(
  { name, value, isValid }: DecodedField,
  pseudo: Pseudo,
  isBehindFields: boolean,
): string | null {
  if (isBehindFields) return "a pseudo-header field is behind other fields";
  if (!isValid) return "a pseudo-header field has characters that are not allowed";
  if (name !== ":method" && name !== ":scheme" && name !== ":path" && name !== ":authority") {
    return "it has an unknown pseudo-header field";
  }
  if (pseudo[name] !== null) return "a pseudo-header field is repeated";
  pseudo[name] = value;
  return null;
}

/**
 * Returns a field without the blanks around its value, as HTTP/1.1 has it. HTTP/2 forbids them, but Deno's client of Deno KV
 * sends one behind `Bearer` where the access token is empty.
 */
function withoutOuterBlanks(field: DecodedField): DecodedField {
  const value = trimmed(field.value);
  return { ...field, value, isValid: field.hasValidName && isFieldValue(value) };
}

function fieldProblem({ name, value, isValid }: DecodedField): string | null {
  if (!isValid) return "a field has characters that are not allowed";
  if (CONNECTION_FIELDS.has(name)) return "it has a field that HTTP/2 does not allow";
  if (name === "te" && value.toLowerCase() !== "trailers") return "its te is not trailers";
  return null;
}
