/** Files of Deno KV databases, read as they are. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { DatabaseFile } from "../../../../lib/cli/denokv/database_file.ts";
import { keyText } from "../../../../lib/cli/denokv/key_text.ts";
import { readableValue } from "../../../../lib/cli/denokv/values.ts";
import { UsageError } from "../../../../lib/cli/errors.ts";
import { makeDatabaseFile } from "../../../support/denokv/files.ts";
import { TemporaryFolder } from "../../../support/temporary.ts";

/** Makes a SQLite file by statements. */
function sqlite(path: string, statements: string): void {
  using database = new DatabaseSync(path);
  database.exec(statements);
}

Deno.test("DatabaseFile: a file that Deno made has its keys in order, with encodings and expiry", async () => {
  await using folder = await TemporaryFolder.make();
  const path = `${folder.path}/x.sqlite`;
  const madeAt = Date.now();
  await makeDatabaseFile(path);
  using file = DatabaseFile.open(path);
  assertEquals([file.keyCount, file.queuedCount], [5, 2]);
  const rows = [...file.rows(null)].map((row) => {
    assert(row.kind === "entry");
    const { format, text } = readableValue(row.value);
    return {
      key: keyText(row.key),
      format,
      text,
      lasts: row.expiresAtMs === null ? null : row.expiresAtMs - madeAt,
    };
  });
  const lasts = rows.find(({ key }) => key === `["session"]`)?.lasts ?? 0;
  assert(lasts >= 86_400_000 && lasts < 86_460_000, `${lasts}`);
  const forever = { lasts: null };
  assertEquals(rows, [
    {
      key: `["odd", 1.5, -0, NaN, true, new Uint8Array([1, 0, 255])]`,
      format: "v8 format 16",
      text: `"text"`,
      ...forever,
    },
    { key: `["photo"]`, format: "bytes", text: "new Uint8Array([1, 2, 3])", ...forever },
    { key: `["session"]`, format: "v8 format 16", text: `"for a day"`, lasts },
    { key: `["users", 17n]`, format: "v8 format 16", text: `{ name: "Ada" }`, ...forever },
    { key: `["visits"]`, format: "u64", text: "new Deno.KvU64(7n)", ...forever },
  ]);
  const [, second] = file.rows(null);
  assert(second?.kind === "entry");
  assertEquals([...file.rows(second.key)].length, 3);
});

Deno.test("DatabaseFile: a file from before keys could expire is read, and a bad row is named", async () => {
  await using folder = await TemporaryFolder.make();
  const path = `${folder.path}/old.sqlite`;
  sqlite(
    path,
    `create table kv (k blob primary key, v blob not null, v_encoding integer not null, version integer not null);
     insert into kv values (x'026100', x'01', 3, 9007199254740993), (x'026200', 'text', 1, 1), (x'026300', x'', 9, 1)`,
  );
  using file = DatabaseFile.open(path);
  assertEquals(file.queuedCount, 0);
  assertEquals([...file.rows(null)], [
    { kind: "entry", key: Uint8Array.fromHex("026100"), value: Uint8Array.of(3, 1), expiresAtMs: null },
    { kind: "unreadable", key: Uint8Array.fromHex("026200"), reason: "its value has no bytes" },
    { kind: "unreadable", key: Uint8Array.fromHex("026300"), reason: "its encoding 9 is unknown" },
  ]);
});

Deno.test("DatabaseFile: a missing file, another file and another database are refused by name", async () => {
  await using folder = await TemporaryFolder.make();
  const other = `${folder.path}/other.sqlite`;
  sqlite(other, "create table kv (k blob)");
  await Deno.writeTextFile(
    `${folder.path}/text`,
    "no database, but a text of more than a hundred bytes ".repeat(3),
  );
  const cases: readonly (readonly [string, string])[] = [
    [`${folder.path}/missing`, "there is no such file"],
    [folder.path, "it is no file"],
    [`${folder.path}/text`, "file is not a database"],
    [other, "none of Deno KV"],
  ];
  for (const [path, reason] of cases) assertThrows(() => DatabaseFile.open(path), UsageError, reason);
});

Deno.test("DatabaseFile: a damaged file is refused by name", async () => {
  await using folder = await TemporaryFolder.make();
  const path = `${folder.path}/damaged.sqlite`;
  const rows = Array.from(
    { length: 400 },
    (_, row) => `(x'02${(0x1000 + row).toString(16)}00', zeroblob(500), 3)`,
  );
  sqlite(
    path,
    `create table kv (k blob primary key, v blob, v_encoding integer) without rowid; insert into kv values ${rows.join()}`,
  );
  const bytes = Deno.readFileSync(path);
  bytes.fill(0xff, bytes.length / 2);
  Deno.writeFileSync(path, bytes);
  const readAll = (): number => {
    using file = DatabaseFile.open(path);
    return [...file.rows(null)].length;
  };
  assertThrows(readAll, UsageError, "malformed");
});
