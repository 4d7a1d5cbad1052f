/**
 * Reads the whole checkout and fails with a sentence for each broken rule: imports between folders and cycles of them, the
 * purity of raft, kv and protocol, sizes of folders, files and functions, things written twice, leftovers, words that are
 * not the field's, and documents that name what does not exist.
 */
import { assert, assertEquals } from "@std/assert";
import { checkFile, type Finding } from "./support/source_rules.ts";
import { treeFindings } from "./support/tree_rules.ts";
import { documentProblems } from "./support/documents.ts";
import { CHECKOUT, filesOfCheckout, isToolOutput, readCheckout, trackedFiles } from "./support/checkout.ts";
import { v8Flags } from "../tools/v8_flags.ts";
import { hitsBelow, textOfHit, wordHits } from "./support/plain_words.ts";

function sentences(findings: readonly Finding[]): readonly string[] {
  return findings.map(({ path, line, message }) => `${path}:${line} ${message}`);
}

Deno.test("source files: none breaks a rule of source_rules.ts", () => {
  const files = filesOfCheckout([".ts"]);
  assert(files.includes("lib/raft/types.ts"), "the walk over the checkout finds the sources");
  assertEquals(sentences(files.flatMap((path) => checkFile(path, readCheckout(path)))), []);
});

/** The sources below these folders, by path. */
function sourcesBelow(...folders: readonly string[]): ReadonlyMap<string, string> {
  const paths = filesOfCheckout([".ts"]).filter((path) => folders.some((one) => path.startsWith(`${one}/`)));
  return new Map(paths.map((path) => [path, readCheckout(path)]));
}

for (const folders of [["lib"], ["tests", "tools"]]) {
  Deno.test(`${folders.join(" and ")}: folders are small, imports without cycles, nothing is written twice`, () => {
    assertEquals(sentences(treeFindings(sourcesBelow(...folders))), []);
  });
}

Deno.test("tree rules: refuse large folders, cycles, and functions and unions that are written twice", () => {
  const body = "{\n  return [1, 2, 3].map((one) => one + 1).join(); // as long as a helper\n}";
  const sources: ReadonlyMap<string, string> = new Map([
    ["lib/a/one.ts", `import { b } from "./two.ts";\nexport function f(): string ${body}`],
    ["lib/a/two.ts", `import { c } from "./three.ts";\nexport type Kind = "x" | "y" | "z";`],
    ["lib/a/three.ts", `import { a } from "./one.ts";\nfunction f(): string ${body}`],
    [
      "lib/a/four.ts",
      `import type { a } from "./one.ts";\nconst KINDS = ["z", "y", "x"] as const satisfies K;`,
    ],
    ["lib/b/five.ts", `import type { six } from "./six.ts";`],
    ["lib/b/six.ts", `import { five } from "./five.ts";`],
    ...Array.from({ length: 20 }, (_, file): [string, string] => [`lib/c/${file}.ts`, ""]),
    ...Array.from({ length: 21 }, (_, file): [string, string] => [`lib/d/${file}.ts`, ""]),
  ]);
  assertEquals(sentences(treeFindings(sources, { "lib/c": 21 })), [
    "lib/d:1 has 21 source files; a folder has at most 20. Group them by feature, or merge small ones",
    "lib/c:1 has fewer than 21 files: lower its exception, or remove it",
    "lib/a/one.ts:1 is in a cycle of imports: lib/a/one.ts → lib/a/two.ts → lib/a/three.ts → lib/a/one.ts",
    "lib/a/three.ts:2 defines f as lib/a/one.ts does; one definition serves both",
    'lib/a/four.ts:2 lists "x", "y", "z" as lib/a/two.ts does; derive one from the other',
  ]);
});

Deno.test("documents: every command, file, heading and constant that one names exists", () => {
  assertEquals(filesOfCheckout([".md"]).flatMap((path) => documentProblems(path, readCheckout(path))), []);
});

Deno.test("source files: each begins with a comment that says why it exists", () => {
  const silent = filesOfCheckout([".ts"]).filter((path) => !/^(#!.*\n)?\/\*\*/.test(readCheckout(path)));
  assertEquals(silent.map((path) => `${path} does not begin with a comment that says why it exists`), []);
});

Deno.test("plain words: sources and documents use the field's terms (deno task words lists the others)", () => {
  assertEquals(hitsBelow([""]).map(textOfHit), []);
});

Deno.test("plain words: messages and documents say directory everywhere", () => {
  assertEquals(wordHits("docs/a.md", "The data folder is empty.").map(({ found }) => found), ["folder"]);
  assertEquals(wordHits("tests/a.ts", "const folder = 1;"), []);
});

/** Returns the modules that a process loads with these, and the packages that they import, each with the importer. */
function loadedWith(
  roots: readonly string[],
): { readonly modules: Set<string>; readonly packages: string[] } {
  const modules = new Set(roots);
  const packages: string[] = [];
  for (const path of modules) {
    for (
      const [, specifier = ""] of readCheckout(path)
        .matchAll(/^(?:import (?!type )|export (?!type )|\} )(?:.*?from )?"([^"]+)";/gm)
    ) {
      if (specifier.startsWith(".")) modules.add(new URL(specifier, `file:///${path}`).pathname.slice(1));
      else if (!specifier.startsWith("node:")) packages.push(`${path} imports ${specifier}`);
    }
  }
  return { modules, packages };
}

Deno.test("client library: it imports its own modules and node: modules only, which npm users have", () => {
  const { modules, packages } = loadedWith(["lib/mod.ts", "lib/testing.ts"]);
  assert(modules.has("lib/platform/node_network.ts"), "the walk over the imports finds the library");
  assertEquals(packages, []);
});

Deno.test("idle node: it has the code of no front end, gateway or client command in memory", () => {
  const modules = [...loadedWith(["main.ts"]).modules];
  assert(modules.includes("lib/raft/raft.ts"), "the walk over the imports finds the server");
  const unused =
    /^lib\/(?:cli\/(?:client\.ts|commands|shell)|denokv|diagnosis|etcd|gateway|lincheck|loadgen)/;
  assertEquals(modules.filter((path) => unused.test(path)), []);
});

Deno.test("version control: no output of a profiler or debugger is in it", () => {
  const samples = ["isolate-0x558a31120000-5858-v8.log", "tests/a.cpuprofile", "a.heapsnapshot", "core.4711"];
  assertEquals(samples.filter((path) => !isToolOutput(path)), []);
  assertEquals(["data.log", "lib/raft/core.ts", "tests/golden/raft"].filter(isToolOutput), []);
  assertEquals(trackedFiles().filter(isToolOutput), []);
  const ignored = readCheckout(".gitignore").split("\n");
  const patterns = ["isolate-*.log", "*.cpuprofile", "*.heapprofile", "*.heapsnapshot"];
  assertEquals(patterns.filter((pattern) => !ignored.includes(pattern)), []);
});

/** A line that breaks each rule, and a part of the expected message: shows that each rule can fail. */
const broken: readonly { readonly path: string; readonly source: string; readonly says: string }[] = [
  { path: "lib/raft/a.ts", source: `import { x } from "../transport/x.ts";`, says: "may import only" },
  { path: "lib/raft/a.ts", source: `import { x } from "../kv/x.ts";`, says: "only the types" },
  { path: "lib/raft/a.ts", source: `import x from "sorted-btree";`, says: "may use no package" },
  { path: "lib/kv/a.ts", source: `export * from "node:fs";`, says: "is pure" },
  { path: "lib/server/a.ts", source: `import { x } from "../client/x.ts";`, says: "may import only" },
  { path: "lib/server/a.ts", source: `import { x } from "fast-check";`, says: "only tests" },
  { path: "lib/server/a.ts", source: `import { x } from "../../tools/x.ts";`, says: "may import only" },
  { path: "lib/attic/a.ts", source: `import { x } from "./b.ts";`, says: "a folder that" },
  { path: "lib/server/a.ts", source: `await import("./x.ts");`, says: "at run time" },
  { path: "main.ts", source: `import { x } from "./lib/server/x.ts";`, says: "may import only" },
  { path: "lib/protocol/a.ts", source: "const now = performance.now();", says: "uses performance" },
  { path: "lib/raft/a.ts", source: "const now = Date.now();", says: "uses Date" },
  { path: "lib/raft/a.ts", source: "const die = Math.random();", says: "Math.random" },
  { path: "lib/kv/a.ts", source: "Deno.exit(1);", says: "uses Deno" },
  { path: "lib/kv/a.ts", source: "export async function f(): Wait { }", says: "is async" },
  { path: "lib/kv/a.ts", source: "await x;", says: "awaits" },
  { path: "lib/kv/a.ts", source: "console.log(1);", says: "uses console" },
  { path: "lib/transport/a.ts", source: "const x: any = 1;", says: "uses any" },
  { path: "lib/transport/a.ts", source: "const x = y!;", says: "uses !" },
  { path: "lib/transport/a.ts", source: "const x = y as unknown as Z;", says: "casts twice" },
  { path: "lib/transport/a.ts", source: `const x = 1; // ${"TO"}DO later`, says: "finish it" },
  {
    path: "lib/transport/a.ts",
    source: `// ${"deno-lint"}-ignore no-console\nx();`,
    says: "without saying why",
  },
  {
    path: "tests/a_test.ts",
    source: "await new Promise((r) => setTimeout(r, 100));",
    says: "never for time",
  },
  { path: "tests/a_test.ts", source: "await delay(5);", says: "never for time" },
  { path: "tests/a_test.ts", source: `Deno.test.only("x", f);`, says: "every test runs" },
  { path: "tests/a_test.ts", source: `Deno.test({ name: "x", ignore: true, fn });`, says: "every test runs" },
  { path: "lib/transport/a.ts", source: `function f(): void {${"\n".repeat(70)}}`, says: "fits a screen" },
  { path: "lib/transport/a.ts", source: "x();\n".repeat(501), says: "at most 500" },
];

for (const { path, source, says } of broken) {
  const shown = source.length > 60 ? `${source.slice(0, 30).trim()}…` : source;
  Deno.test(`source rules: refuse ${JSON.stringify(shown)} in ${path}`, () => {
    const messages = checkFile(path, source).map((finding) => finding.message);
    assert(messages.some((message) => message.includes(says)), `found only ${JSON.stringify(messages)}`);
  });
}

Deno.test("source rules: code that only resembles a violation is allowed", () => {
  const source = [
    `import type { Command } from "../kv/command.ts";`,
    `import { assert } from "../platform/assert.ts";`,
    `import { x } from "./x.ts";`,
    "const entry = { process: 1, Date: 2 };",
    "export const sum = entry.process + entry.Date + Math.max(1, 2);",
  ].join("\n");
  assertEquals(checkFile("lib/raft/a.ts", source), []);
});

const brokenDocuments: readonly { readonly source: string; readonly says: string }[] = [
  { source: "```sh\ndeno task nothing\n```", says: "no task" },
  { source: "```sh\ndeno task bench:nothing\n```", says: "bench:nothing" },
  { source: "```sh\n./cluster.sh fly\n```", says: "no command" },
  { source: "```sh\nnpx -y deno@2.0.0 task test\n```", says: "pinned" },
  { source: "See [there](docs/nowhere.md).", says: "no file" },
  { source: "See [there](SECURITY.md#nowhere).", says: "a heading #nowhere" },
  { source: "See [below](#nowhere).\n\n# Somewhere", says: "a heading #nowhere" },
  { source: "Type `kvraft\nserver`.", says: "goes on in another line" },
  { source: "Shown by `tests/cluster/nothing_test.ts`.", says: "no file" },
  { source: "At `MAX_NOTHING_BYTES` it ends.", says: "no constant" },
];

for (const { source, says } of brokenDocuments) {
  Deno.test(`documents: refuse ${JSON.stringify(source)}`, () => {
    const problems = documentProblems("README.md", source);
    assert(problems.some((problem) => problem.includes(says)), `found only ${JSON.stringify(problems)}`);
  });
}

const brokenWords: readonly { readonly source: string; readonly found: string }[] = [
  { source: "/** Adds the newcomer. */", found: "newcomer" },
  { source: "const addNewcomer = 1;", found: "Newcomer" },
  { source: "const MAX_GUESTS = 1;", found: "GUESTS" },
  { source: " * The answer is on\n * its way.", found: "on its way" },
  { source: "/** What a command works with. */", found: "/** What" },
  { source: 'Deno.test("what is sent arrives", f);', found: 'Deno.test("what' },
];

for (const { source, found } of brokenWords) {
  Deno.test(`plain words: ${JSON.stringify(source)} is found`, () => {
    assertEquals(wordHits("lib/raft/a.ts", source).map((hit) => hit.found), [found]);
  });
}

Deno.test("plain words: a file's name is read too, and normal uses of a word are no hit", () => {
  assertEquals(wordHits("lib/raft/stranger.ts", "").map(({ line }) => line), [0]);
  assertEquals(wordHits("lib/raft/a.ts", "// There is room for a way to hear from a node."), []);
});

Deno.test("V8's flags: cluster.sh starts servers with those of deno.json", () => {
  const [flags = ""] = v8Flags(CHECKOUT);
  assert(flags.includes("--max-semi-space-size"), "the task server bounds the young generation");
  assert(readCheckout("cluster.sh").includes(`v8_flags=${flags}\n`), "cluster.sh has the same flags");
});
