/** The JSON Schema of the config file, by which editors complete and check it: docs/config.schema.json. */
import { OPTIONS } from "./config.ts";
import type { TypedOption } from "./option_kinds.ts";

/** A schema, or a part of one. */
type Schema = Readonly<Record<string, unknown>>;

/** The form of an amount with a unit, of any option. */
const AMOUNT_PATTERN = "^[0-9]+(KiB|MiB|GiB|TiB|ms|s|m|h|d)?$";

/** Returns the schema, made from the table of options. */
export function configSchema(): Schema {
  const options: readonly TypedOption<unknown>[] = Object.values(OPTIONS);
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "Configuration of a kvraft server (kvraft server --config <file>)",
    type: "object",
    additionalProperties: false,
    properties: {
      $schema: { type: "string", description: "where an editor finds this schema" },
      ...Object.fromEntries(options.map((option) => [option.name, schemaOf(option)])),
    },
  };
}

function schemaOf(option: TypedOption<unknown>): Schema {
  const { help, allowed, fallback, example, type, range, choices } = option;
  const by = fallback === null ? "" : ` Default: ${fallback}.`;
  const description = `${help}. Allowed: ${allowed}.${by}`;
  switch (type) {
    case "switch":
      return { description, type: "boolean", default: false };
    case "number":
      return { description, type: "integer", ...limitsOf(range), examples: [Number(example)] };
    case "amount": {
      const texts = { type: "string", pattern: AMOUNT_PATTERN };
      return { description, anyOf: [{ type: "integer", ...limitsOf(range) }, texts], examples: [example] };
    }
    case "text":
      return choices === undefined
        ? { description, type: "string", minLength: 1, examples: [example] }
        : { description, enum: choices, default: fallback };
  }
}

function limitsOf(range: TypedOption<unknown>["range"]): Schema {
  return range === undefined ? {} : { minimum: range.min, maximum: range.max };
}
