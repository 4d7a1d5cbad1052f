/** Header fields: the rules for their names and values, the same in HTTP/1.1 and HTTP/2, and lists of them. */
import { assert } from "../platform/assert.ts";
import type { WebHeaders } from "./types.ts";

/** A name in any case (RFC 9110 §5.6.2). */
export const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const LOWER_CASE_TOKEN = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;
/** A value: no control characters but tab, and neither space nor tab at its ends (RFC 9110 §5.5, RFC 9113 §8.2.1). */
const VALUE = /^(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?$/;

/** A content-length that any body can have. */
const LENGTH = /^[0-9]{1,15}$/;

/** Whether `name` may be the name of a field in HTTP/2. */
export function isLowerCaseName(name: string): boolean {
  return LOWER_CASE_TOKEN.test(name);
}

/** Whether `value` may be the value of a field; each character is one byte. */
export function isFieldValue(value: string): boolean {
  return VALUE.test(value);
}

/** Returns a text without the spaces and tabs at its ends. */
export function trimmed(text: string): string {
  let begin = 0;
  let end = text.length;
  while (begin < end && isBlank(text.charCodeAt(begin))) begin += 1;
  while (end > begin && isBlank(text.charCodeAt(end - 1))) end -= 1;
  return text.slice(begin, end);
}

function isBlank(character: number): boolean {
  return character === 0x20 || character === 0x09;
}

/** A received field; each character is one byte. */
export interface Field {
  /** In lower case. */
  readonly name: string;
  readonly value: string;
}

/** The fields of a request, in the order of their arrival. */
export class FieldList {
  readonly #fields: readonly Field[];

  /** Takes the list, which is not changed afterwards. */
  constructor(fields: readonly Field[]) {
    this.#fields = fields;
  }

  /** Returns the value of a field, several of one name joined; null without one. */
  get(name: string): string | null {
    let value: string | null = null;
    for (const field of this.#fields) {
      if (field.name !== name) continue;
      value = value === null ? field.value : `${value}${name === "cookie" ? "; " : ", "}${field.value}`;
    }
    return value;
  }
}

/** Field sections that are sent often. */
const CONSTANT = new WeakSet<WebHeaders>();

/**
 * Returns the fields as ones that are sent often, and never change: they are checked once, and HTTP/2 encodes them once. Throws
 * if one of them is not a field.
 */
export function constantFields(headers: Readonly<Record<string, string>>): WebHeaders {
  checkFields(headers);
  const constant = Object.freeze({ ...headers });
  CONSTANT.add(constant);
  return constant;
}

/** Whether fields were returned by {@link constantFields}. */
export function areConstant(headers: WebHeaders): boolean {
  return CONSTANT.has(headers);
}

/** Calls `visit` with each field of an answer. Throws if one of them is not a field: the handler is wrong. */
export function forEachField(headers: WebHeaders, visit: (name: string, value: string) => void): void {
  for (const name of Object.keys(headers)) {
    const value = headers[name];
    if (value === undefined) continue;
    assert(isLowerCaseName(name), "the names of an answer's fields are tokens in lower case");
    for (const one of typeof value === "string" ? [value] : value) {
      assert(isFieldValue(one), "the values of an answer's fields have no control characters");
      visit(name, one);
    }
  }
}

/** Throws if one of the fields of an answer is not a field: the handler is wrong. */
export function checkFields(headers: WebHeaders): void {
  if (!areConstant(headers)) forEachField(headers, () => {});
}

/** Parses a content-length; several equal values count as one (RFC 9110 §8.6). Returns null where it is invalid. */
export function parseContentLength(text: string): number | null {
  if (LENGTH.test(text)) return Number(text);
  const [first = "", ...others] = text.split(",").map((part) => part.trim());
  return LENGTH.test(first) && others.every((other) => other === first) ? Number(first) : null;
}

/** Splits the target of a request into path and query. */
export function splitTarget(target: string): { readonly path: string; readonly query: string } {
  const at = target.indexOf("?");
  return at < 0 ? { path: target, query: "" } : { path: target.slice(0, at), query: target.slice(at + 1) };
}
