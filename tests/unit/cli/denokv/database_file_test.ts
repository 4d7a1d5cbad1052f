/** Files of Deno KV databases, read as they are. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { DatabaseFile } from "../../../../lib/cli/denokv/database_file.ts";
import { keyText } from "../../../../lib/cli/denokv/key_text.ts";
import { readableValue } from "../../../../lib/cli/denokv/values.ts";
import { UsageError } from "../../../../lib/cli/errors.ts";
import { makeDatabaseFile } from "../../../support/denokv/files.ts";
import { TemporaryFolder } from "../../../support/temporary.ts";

const PAGE_BYTES = 4_096;

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
  assertEquals(file.queuedCount, 2);
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

Deno.test("DatabaseFile: what is damaged in the last page, or only in a long value, is found as well", async () => {
  await using folder = await TemporaryFolder.make();
  const path = `${folder.path}/damaged.sqlite`;
  for (const layout of ["", "without rowid"]) {
    sqlite(
      path,
      `create table kv (k blob primary key, v blob, v_encoding integer) ${layout};
       insert into kv values (x'026100', x'01', 3), (x'026200', zeroblob(60000), 3)`,
    );
    const bytes = Deno.readFileSync(path);
    // The page after the first one of the value names the next one; there is no such page.
    const first = bytes.length - 14 * PAGE_BYTES;
    bytes.fill(0xff, first, first + 4);
    Deno.writeFileSync(path, bytes);
    using file = DatabaseFile.open(path);
    assertThrows(() => [...file.rows(null)], UsageError, "damaged");
    Deno.removeSync(path);
  }
});

Deno.test("DatabaseFile: a view with rows without end, and a table without an index, are refused before they are read", async () => {
  await using folder = await TemporaryFolder.make();
  const rows = "with recursive n(i) as (select 1 union all select i + 1 from n)";
  const columns = "i as k, x'01' as v, 3 as v_encoding";
  const cases: readonly (readonly [string, string])[] = [
    [`create view kv as ${rows} select ${columns} from n`, "none of Deno KV"],
    [
      `create view endless as ${rows} select i as rowid, ${columns} from n;
       create virtual table kv using fts5(k, v, v_encoding, content = 'endless')`,
      "none of Deno KV",
    ],
    ["create table kv (k blob, v blob, v_encoding integer)", "no index"],
  ];
  for (const [position, [statements, reason]] of cases.entries()) {
    const path = `${folder.path}/${position}.sqlite`;
    sqlite(path, statements);
    const readAll = (): void => {
      using file = DatabaseFile.open(path);
      for (const row of file.rows(null)) assertEquals(row, null);
    };
    assertThrows(readAll, UsageError, reason);
  }
});

Deno.test("DatabaseFile: a tree of pages that leads to the same rows many times ends with the first row that comes again", async () => {
  await using folder = await TemporaryFolder.make();
  const path = `${folder.path}/again.sqlite`;
  const rows = Array.from(
    { length: 60 },
    (_, row) => `(x'02${(0x10 + row).toString(16)}00', zeroblob(200), 3)`,
  );
  sqlite(
    path,
    `create table kv (k blob primary key, v blob, v_encoding integer) without rowid; insert into kv values ${rows.join()}`,
  );
  const bytes = Deno.readFileSync(path);
  const view = new DataView(bytes.buffer);
  // The root, page 2, has cells that begin with the numbers of their pages, and behind its head the number of the last one.
  const root = PAGE_BYTES;
  assertEquals(bytes[root], 2, "an inner page of an index");
  const cell = root + view.getUint16(root + 12);
  view.setUint32(root + 8, view.getUint32(cell));
  Deno.writeFileSync(path, bytes);
  using file = DatabaseFile.open(path);
  let read = 0;
  const readAll = (): void => {
    for (const _ of file.rows(null)) read += 1;
  };
  assertThrows(readAll, UsageError, "not in order");
  assert(read < 60, `${read}`);
});

Deno.test("DatabaseFile: keys and values beyond the limits are not read, and named by their lengths", async () => {
  await using folder = await TemporaryFolder.make();
  const path = `${folder.path}/long.sqlite`;
  sqlite(
    path,
    `create table kv (k blob primary key, v blob, v_encoding integer);
     insert into kv values (x'', x'', 3), (x'026100', zeroblob(65536), 3), (x'026200', zeroblob(65537), 3);
     insert into kv values (zeroblob(2049), x'', 3), ('text', x'', 3)`,
  );
  using file = DatabaseFile.open(path);
  assertEquals([...file.rows(null)].map((row) => row.kind === "entry" ? row.value.length : row.reason), [
    "its key has no bytes",
    "its key has 0 bytes; 1 to 2048 are allowed",
    "its key has 2049 bytes; 1 to 2048 are allowed",
    65_537,
    "its value has 65537 bytes; at most 65536 are allowed",
  ]);
});
