/** Parsing of arguments by a table of options. */
import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { type OptionSpec, parseArguments } from "../../../lib/cli/arguments.ts";
import { UsageError } from "../../../lib/cli/errors.ts";

const SPECS: readonly OptionSpec[] = [
  { name: "limit", placeholder: "<n>", help: "" },
  { name: "raw", placeholder: null, help: "" },
  { name: "output", placeholder: "text|json", help: "" },
];

function parse(...args: readonly string[]): unknown {
  const { options, positionals } = parseArguments(args, SPECS);
  return {
    ...Object.fromEntries(options),
    _: positionals.map(({ text, literal }) => literal ? `literal ${text}` : text),
  };
}

Deno.test("parseArguments: options can come anywhere, and what follows -- is text", () => {
  assertEquals(parse("get", "--raw", "k"), { raw: "", _: ["get", "k"] });
  assertEquals(parse("--limit", "3", "list"), { limit: "3", _: ["list"] });
  assertEquals(parse("list", "--limit=-3"), { limit: "-3", _: ["list"] });
  assertEquals(parse("list", "--limit=a=b"), { limit: "a=b", _: ["list"] });
  assertEquals(parse("put", "-", "--", "-", "--raw"), { _: ["put", "-", "literal -", "literal --raw"] });
});

Deno.test("parseArguments: numbers, booleans and property names stay text", () => {
  const words = ["true", "0x10", "1e3", "-0".slice(1), "", "__proto__", "constructor"];
  assertEquals(parse(...words, "--raw", "false"), { raw: "", _: [...words, "false"] });
});

Deno.test("parseArguments: an unknown, repeated or incomplete option is refused by name", () => {
  const table = [
    ["--limt", "3"],
    ["--limit"],
    ["--limit", "--raw"],
    ["--limit="],
    ["--raw", "--raw"],
    [
      "--raw=yes",
    ],
    [
      "--__proto__",
    ],
    ["-x"],
    ["--_", "x"],
    ["--_=x"],
    ["---raw"],
    ["--=x"],
    ["--raw.x", "1"],
    ["-raw"],
    ["--toString"],
  ];
  assertEquals(
    table.map((args) => assertThrows(() => parse(...args), UsageError).message.split(/[.:] /)[0]),
    [
      "There is no option --limt",
      "--limit needs a value",
      "--limit needs a value",
      "--limit needs a value",
      "--raw is given 2 times",
      "--raw takes no value",
      "There is no option --__proto__",
      "There is no option -x",
      "There is no option --_",
      "There is no option --_",
      "There is no option ---raw",
      "There is no option --",
      "There is no option --raw.x",
      "There is no option -raw",
      "There is no option --toString",
    ],
  );
});

Deno.test("parseArguments: a value that is typed as an option is refused with its option", () => {
  const { message } = assertThrows(() => parse("get", "k", "--json"), UsageError);
  assertEquals(message, "There is no option --json. Did you mean --output json?");
});

Deno.test("parseArguments: every argument is returned unchanged or refused by name", () => {
  const arg = fc.oneof(
    fc.constantFrom("--limit", "--raw", "--limit=1", "true", "false", "-", "--", "-1"),
    fc.string(),
  );
  fc.assert(fc.property(fc.array(arg, { maxLength: 6 }), (args) => {
    try {
      const { options, positionals } = parseArguments(args, SPECS);
      const kept = [...options.values()].filter((value) => value !== "").length + positionals.length;
      const expected = args.filter((text, position) =>
        text !== "--raw" && text !== "--limit" && !(text === "--" && args.indexOf("--") === position) ||
        (args.includes("--") && position > args.indexOf("--"))
      );
      assertEquals(kept, expected.length);
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
    }
  }));
});
