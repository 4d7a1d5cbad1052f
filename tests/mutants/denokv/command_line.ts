/** Mutants of the commands on databases of Deno KV: keys, values, files, tokens and imports. */
import { tests } from "../checks.ts";
import { inFile, type Mutant } from "../mutant.ts";

const DENO_TEXTS = tests("Deno KV's keys, values and files", "tests/unit/cli/denokv");
const DENO_COMMANDS = tests("commands on databases", "tests/unit/cli/commands/denokv_test.ts");

export const DENOKV_COMMAND_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/cli/denokv/key_codec.ts", [DENO_TEXTS], [
    {
      id: "M1400",
      title: "a bigint with a leading zero is shown as the bigint",
      failure: "the key that is shown is another one when it is typed",
      from: "return equals(encodeKey(key), bytes) ? key : null;",
      to: "return key;",
    },
    {
      id: "M1401",
      title: "the bits of a negative number are not inverted",
      failure: "keys with negative numbers are not found, and pages begin in the wrong place",
      from: "return (bits & SIGN) === 0n ? SIGN : ALL_BITS;",
      to: "return SIGN;",
    },
    {
      id: "M1402",
      title: "zero bytes in strings are not escaped",
      failure: "a key with a zero byte is read as another key",
      from: "if (byte === 0) encoded.push(ESCAPED);",
      to: "",
    },
    {
      id: "M1403",
      title: "NaN is written as the machine has it",
      failure: "the key of NaN is found on some machines",
      from: "const bits = Number.isNaN(value) ? CANONICAL_NAN : view.getBigUint64(1);",
      to: "const bits = Number.isNaN(value) ? CANONICAL_NAN + 1n : view.getBigUint64(1);",
    },
  ]),
  ...inFile("lib/cli/denokv/values.ts", [DENO_TEXTS], [
    {
      id: "M1404",
      title: "typed values keep the format of this program's V8",
      failure: "a value that is set from the command line cannot be read by Node, or by Deno before 2.8",
      from: "data[1] = COMMON_V8_FORMAT;",
      to: "data[1] = COMMON_V8_FORMAT + 1;",
    },
    {
      id: "M1405",
      title: "values have control characters on the terminal",
      failure: "a stored error or name commands the terminal of the user who lists it",
      from: "const text = escapeUnprintable(inspected(value));",
      to: "const text = inspected(value);",
    },
  ]),
  ...inFile("lib/cli/denokv/database_file.ts", [DENO_TEXTS, DENO_COMMANDS], [
    {
      id: "M1406",
      title: "times of expiry in a file are ignored",
      failure: "imported sessions never end",
      from: ": Math.min(Number(expiry), MAX_TIME_MS);",
      to: ": null;",
    },
  ]),
  ...inFile("lib/cli/commands/denokv/import.ts", [DENO_COMMANDS], [
    {
      id: "M1407",
      title: "an import that ended names the first key as the one to go on from",
      failure: "keys are written again that programs have changed since",
      from: "this.#lastKey = batch.at(-1)?.key ?? this.#lastKey;",
      to: "this.#lastKey = batch.at(0)?.key ?? this.#lastKey;",
    },
    {
      id: "M1408",
      title: "an import replaces keys of a database without being asked",
      failure: "a second import undoes what programs wrote meanwhile",
      from: "if (found.length === 0) return;",
      to: "if (found.length >= 0) return;",
    },
  ]),
  ...inFile("lib/cli/denokv/values.ts", [DENO_TEXTS], [
    {
      id: "M3220",
      title: "the text of an error costs nothing",
      failure: "a small value, written by a program with an access token, is shown as a text without end",
      from: "return 1 + `${value.stack}${value.message}`.length;",
      to: "return 1;",
    },
  ]),
  ...inFile("lib/cli/denokv/database_file.ts", [DENO_TEXTS], [
    {
      id: "M3221",
      title: "a view is taken for the table of keys",
      failure: "an import of a small file counts rows without end, and nothing but SIGKILL ends it",
      from: '!tables.includes("kv") ||',
      to: "",
    },
    {
      id: "M3222",
      title: "the end of the rows is taken for the end of the table",
      failure: "an import of a damaged file says ok, and lacks all keys from the damaged page on",
      from: "this.#requireEnd(query, values, count);",
      to: "",
    },
    {
      id: "M3223",
      title: "a key may come again",
      failure: "an import of a file whose pages refer to one page many times does not end",
      from: "compareKeys(read.key, last) <= 0",
      to: "compareKeys(read.key, last) > 1",
    },
  ]),
  ...inFile("lib/cli/commands/denokv/databases.ts", [DENO_COMMANDS], [
    {
      id: "M3203",
      title: "names of databases are shown as a node sends them",
      failure: "a program in place of a node adds lines to a list of databases and commands the terminal",
      from: "[escapeText(name), `${tokens.length}`",
      to: "[name, `${tokens.length}`",
    },
    {
      id: "M1409",
      title: "the token itself goes to the cluster in place of its hash",
      failure: "a backup has the tokens of all programs",
      from: "hash: sha256Of(token) }",
      to: "hash: new TextEncoder().encode(token).subarray(0, 32) }",
    },
    {
      id: "M1410",
      title: "a purge leaves the access tokens until the database is removed",
      failure: "programs write keys while they are deleted, and the database is not empty",
      from: "const keys = isPurged ? await purge(open) : 0;",
      to: "const keys = isPurged ? await purge({ ...open, database: { ...open.database, tokens: [] } }) : 0;",
    },
    {
      id: "M1411",
      title: "a purge of the database default is refused only after its keys are deleted",
      failure: "a command that ends with an error has deleted every key and token",
      from: "if (name === DEFAULT_DATABASE) {",
      to: 'if (name === "") {',
    },
  ]),
];
