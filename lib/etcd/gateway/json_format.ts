/** The messages of the gateway: JSON as the JSON mapping of protobuf 3 has it. */
import { concat } from "@std/bytes";
import { MalformedMessageError } from "../protobuf/field.ts";
import type { Message } from "../protobuf/message.ts";
import { cutLists } from "../rpc/long_lists.ts";
import type { Format } from "../rpc/method.ts";

/** A number that `JSON.parse` may round. Digits within texts are found as well: they cost time, and change nothing. */
const LONG_NUMBER = /[0-9]{16}/;

/** JSON in UTF-8. */
export const JSON_FORMAT: Format = {
  decode: <T, G>(type: Message<T, G>, body: Uint8Array): T => type.readJson(parse(body)),
  encode: <T, G>(type: Message<T, G>, message: G): Uint8Array =>
    encodeText(JSON.stringify(type.toJson(message))),
  encodeInSteps: async (type, message, yieldToOthers) => {
    const { head, rest } = cutLists(message);
    const lists = new Map<string, Uint8Array[]>();
    for (const part of rest) {
      await yieldToOthers();
      for (const [name, list] of Object.entries(type.toJson(part))) {
        const elements = encodeText(`,${JSON.stringify(list).slice(1, -1)}`);
        const before = lists.get(name);
        if (before === undefined) lists.set(name, [elements]);
        else before.push(elements);
      }
    }
    const parts: Uint8Array[] = [];
    for (const [name, value] of Object.entries(type.toJson(head))) {
      const text = `${parts.length === 0 ? "{" : ","}${JSON.stringify(name)}:${JSON.stringify(value)}`;
      const elements = lists.get(name);
      if (elements === undefined) parts.push(encodeText(text));
      else parts.push(encodeText(text.slice(0, -1)), ...elements, encodeText("]"));
    }
    return parts.length === 0 ? encodeText("{}") : concat([...parts, encodeText("}")]);
  },
};

function encodeText(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** Returns the value of a text; integers that a number cannot hold are texts, which 64-bit fields accept as well. */
function parse(body: Uint8Array): unknown {
  const text = new TextDecoder().decode(body);
  if (text === "") return {};
  try {
    return LONG_NUMBER.test(text) ? JSON.parse(text, exactly) : JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) throw new MalformedMessageError("the body is not JSON");
    throw error;
  }
}

function exactly(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  if (typeof value !== "number" || Number.isSafeInteger(value)) return value;
  return context?.source ?? value;
}
