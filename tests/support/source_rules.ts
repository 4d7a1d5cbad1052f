/**
 * Rules over single source files, as visitors over a file's syntax tree. `tests/tidy_test.ts` runs them over every file
 * and first shows that each of them can fail. Rules over the whole tree are in tree_rules.ts.
 */

/** A violation of a rule, with its place and the remedy. */
export interface Finding {
  /** Path from the root of the checkout. */
  readonly path: string;
  /** From 1. */
  readonly line: number;
  /** A sentence for the author. */
  readonly message: string;
}

const MAX_FILE_LINES = 500;
const MAX_FUNCTION_LINES = 70;

/** Folders that a folder may import, and folders of which it may import only types (`import type`). */
interface AllowedImports {
  readonly whole: readonly string[];
  readonly types: readonly string[];
}

/** Files that all folders may import: the version. */
const COMMON_FILES = ["deno.json"];

/** Allowed imports by folder (ARCHITECTURE.md), besides the common files, the own folder and lib/platform. */
const ALLOWED_IMPORTS: Readonly<Record<string, AllowedImports>> = {
  platform: { whole: [], types: [] },
  raft: { whole: [], types: ["kv"] },
  kv: { whole: [], types: ["raft"] },
  protocol: { whole: ["raft", "kv"], types: [] },
  web: { whole: [], types: [] },
  transport: { whole: ["raft", "kv", "protocol", "web"], types: [] },
  storage: { whole: ["raft", "kv"], types: [] },
  server: { whole: ["raft", "kv", "storage", "protocol", "transport", "denokv", "etcd", "web"], types: [] },
  client: { whole: ["kv", "protocol", "transport"], types: ["raft"] },
  denokv: { whole: ["kv", "protocol", "transport", "client", "web"], types: [] },
  etcd: { whole: ["kv", "protocol", "transport", "client", "web"], types: [] },
  gateway: { whole: ["kv", "protocol", "transport", "client"], types: ["raft"] },
  diagnosis: { whole: [], types: ["protocol", "client"] },
  lincheck: { whole: [], types: ["kv"] },
  loadgen: { whole: ["lincheck", "client"], types: ["kv"] },
  cli: {
    whole: ["kv", "client", "diagnosis", "server", "denokv", "etcd", "gateway", "lincheck", "loadgen"],
    types: ["raft", "protocol"],
  },
  "main.ts": { whole: ["cli"], types: [] },
  "lib/mod.ts": { whole: ["client"], types: ["kv", "protocol"] },
  "lib/testing.ts": { whole: ["client"], types: [] },
  "lib/server.ts": { whole: ["server"], types: [] },
};

/** Files of lib/platform of which pure folders may use values; the types of all others are allowed. */
const PURE_PLATFORM = [
  "lib/platform/address.ts",
  "lib/platform/assert.ts",
  "lib/platform/errors.ts",
  "lib/platform/memory/number_map.ts",
  "lib/platform/memory/slab.ts",
];

/** The pure folders, and the packages each may use. */
const PURE_FOLDERS: Readonly<Record<string, readonly string[]>> = {
  raft: [],
  kv: ["@std/bytes", "node:buffer"],
  protocol: ["@std/bytes", "@std/msgpack"],
};

/** Packages that only tests may use. */
const TEST_PACKAGES = ["ajv", "axe-core", "fast-check", "puppeteer-core", "@std/assert", "yaml"];

/** Globals that a pure function may not use. `Math.random` is checked separately. */
const IMPURE_GLOBALS = new Set([
  "Deno",
  "Date",
  "Promise",
  "performance",
  "crypto",
  "console",
  "fetch",
  "setTimeout",
  "setInterval",
  "queueMicrotask",
  "setImmediate",
  "process",
]);

type Report = (node: { readonly range: readonly [number, number] }, message: string) => void;
type FunctionNode =
  | Deno.lint.FunctionDeclaration
  | Deno.lint.FunctionExpression
  | Deno.lint.ArrowFunctionExpression;

/** Checks one file. `path` is relative to the root of the checkout. */
export function checkFile(path: string, source: string): readonly Finding[] {
  const lineAt = (offset: number): number => source.slice(0, offset).split("\n").length;
  const plugin: Deno.lint.Plugin = {
    name: "source",
    rules: {
      rules: {
        create(context): Deno.lint.LintVisitor {
          const report: Report = (node, message) => context.report({ range: [...node.range], message });
          checkComments(context.sourceCode.getAllComments(), report);
          return {
            ...importRules(path, report),
            ...(folderOf(path) in PURE_FOLDERS ? purityRules(folderOf(path), report) : {}),
            ...typeRules(report),
            ...testRules(path, report),
            ...lengthRules(lineAt, report),
          };
        },
      },
    },
  };
  const findings = Deno.lint.runPlugin(plugin, path, source)
    .map(({ range, message }) => ({ path, line: lineAt(range[0]), message }));
  const lines = source.split("\n").length - 1;
  if (lines > MAX_FILE_LINES) {
    findings.push({
      path,
      line: 1,
      message: `has ${lines} lines; a file has at most ${MAX_FILE_LINES}. Split it by concept`,
    });
  }
  return findings;
}

/** Returns the folder of a file: the one under lib/, or the path itself for a file directly in lib/. */
function folderOf(path: string): string {
  return /^lib\/([^/]+)\//.exec(path)?.[1] ?? path;
}

/** Files that may import when a command or a flag asks for it, so that an idle node does not hold that code in memory. */
const LAZY_IMPORTS: readonly string[] = ["lib/cli/mod.ts", "lib/server/front_ends.ts"];

function importRules(path: string, report: Report): Deno.lint.LintVisitor {
  const check = (
    node: Deno.lint.ImportDeclaration | Deno.lint.ExportNamedDeclaration | Deno.lint.ExportAllDeclaration,
    typeOnly: boolean,
  ): void => {
    if (node.source === null) return;
    const problem = importProblem({ path, specifier: String(node.source.value), typeOnly });
    if (problem !== null) report(node, problem);
  };
  return {
    ImportDeclaration: (node) =>
      check(node, node.importKind === "type" || node.specifiers.every(isTypeSpecifier)),
    ExportNamedDeclaration: (node) => check(node, node.exportKind === "type"),
    ExportAllDeclaration: (node) => check(node, node.exportKind === "type"),
    ImportExpression(node): void {
      if (!path.startsWith("lib/")) return;
      // Only a literal is checked for types, and contained in an executable.
      if (!LAZY_IMPORTS.includes(path) || node.source.type !== "Literal") {
        report(node, "imports at run time; name every import at the top of the file");
        return;
      }
      const problem = importProblem({ path, specifier: String(node.source.value), typeOnly: false });
      if (problem !== null) report(node, problem);
    },
  };
}

function isTypeSpecifier(specifier: Deno.lint.ImportDeclaration["specifiers"][number]): boolean {
  return specifier.type === "ImportSpecifier" && specifier.importKind === "type";
}

/** Returns why a file may not import `specifier`, or null. */
function importProblem(
  { path, specifier, typeOnly }: { path: string; specifier: string; typeOnly: boolean },
): string | null {
  const folder = folderOf(path);
  const allowed = ALLOWED_IMPORTS[folder];
  if (allowed === undefined) {
    return /^lib\/.+\//.test(path)
      ? `is in lib/${folder}, a folder that ARCHITECTURE.md and ALLOWED_IMPORTS do not have`
      : null;
  }
  if (!specifier.startsWith(".")) return packageProblem(folder, specifier);
  const target = new URL(specifier, `file:///${path}`).pathname.slice(1);
  const targetFolder = folderOf(target);
  if (targetFolder === folder || COMMON_FILES.includes(target) || allowed.whole.includes(targetFolder)) {
    return null;
  }
  // Pure folders may use only the parts of the platform that do no I/O.
  const isPure = folder in PURE_FOLDERS;
  if (targetFolder === "platform" && (!isPure || typeOnly || PURE_PLATFORM.includes(target))) return null;
  if (!allowed.types.includes(targetFolder)) {
    const names = [
      ...allowed.whole,
      ...allowed.types.map((name) => `the types of ${name}`),
      "lib/platform",
    ];
    return `imports ${target}; ${folder} may import only ${names.join(", ")} (ARCHITECTURE.md)`;
  }
  return typeOnly
    ? null
    : `imports values of ${target}; ${folder} may use only the types of ${targetFolder} (import type)`;
}

/** Returns why a folder may not use a package, or null. */
function packageProblem(folder: string, name: string): string | null {
  if (TEST_PACKAGES.includes(name)) return `imports ${name}, which only tests may use`;
  const packages = PURE_FOLDERS[folder];
  if (packages === undefined || packages.includes(name)) return null;
  return `imports ${name}; lib/${folder} is pure and may use ${packages.join(", ") || "no package"}`;
}

function purityRules(folder: string, report: Report): Deno.lint.LintVisitor {
  const asynchronous = (node: FunctionNode): void => {
    if (node.async) report(node, `is async; lib/${folder} is pure: what takes time is done by the driver`);
  };
  return {
    Identifier(node): void {
      if (!IMPURE_GLOBALS.has(node.name) || isPropertyName(node)) return;
      report(node, `uses ${node.name}; lib/${folder} is pure: time, randomness and I/O are arguments`);
    },
    MemberExpression(node): void {
      if (node.object.type !== "Identifier" || node.object.name !== "Math") return;
      if (node.property.type === "Identifier" && node.property.name === "random") {
        report(node, `uses Math.random; lib/${folder} takes its randomness from its caller`);
      }
    },
    AwaitExpression: (node) =>
      report(node, `awaits; lib/${folder} is pure: what takes time is done by the driver`),
    "FunctionDeclaration[async=true]": asynchronous,
    "FunctionExpression[async=true]": asynchronous,
    "ArrowFunctionExpression[async=true]": asynchronous,
  };
}

/** Returns whether an identifier is a member name (`entry.process`, `{ process: 1 }`) and so no global. */
function isPropertyName(node: Deno.lint.Identifier): boolean {
  const parent = node.parent;
  switch (parent.type) {
    case "MemberExpression":
      return parent.property === node && !parent.computed;
    case "Property":
      return parent.key === node && !parent.computed && !parent.shorthand;
    case "MethodDefinition":
    case "PropertyDefinition":
    case "TSPropertySignature":
    case "TSMethodSignature":
      return parent.key === node;
    default:
      return false;
  }
}

function typeRules(report: Report): Deno.lint.LintVisitor {
  return {
    TSAnyKeyword: (node) => report(node, "uses any; say what it is, or take unknown and check it"),
    TSNonNullExpression: (node) => report(node, "uses !; check for null, or assert and say why it can't be"),
    "TSAsExpression > TSAsExpression": (node: Deno.lint.TSAsExpression) =>
      report(node, "casts twice; that hides every error of the compiler"),
  };
}

function testRules(path: string, report: Report): Deno.lint.LintVisitor {
  if (!path.startsWith("tests/")) return {};
  return {
    CallExpression(node): void {
      const name = calledName(node);
      if (name === "Deno.test.only" || name === "Deno.test.ignore") {
        report(node, `uses ${name}; every test runs`);
      }
      const waits = ["setTimeout", "setInterval", "sleep", "delay"].includes(name);
      if (waits && !path.startsWith("tests/support/")) {
        report(
          node,
          `calls ${name}; a test waits for an event or with eventually() of tests/support, never for time`,
        );
      }
    },
    Property(node): void {
      if (node.key.type !== "Identifier" || !["only", "ignore"].includes(node.key.name)) return;
      if (node.value.type === "Literal" && node.value.value === true) {
        report(node, `sets ${node.key.name}: true; every test runs`);
      }
    },
  };
}

/** Returns the dotted name of a call, such as `setTimeout` or `Deno.test.only`, or "" when it is no plain name. */
function calledName(node: Deno.lint.CallExpression): string {
  const dotted = (expression: Deno.lint.Node): string => {
    if (expression.type === "Identifier") return expression.name;
    if (expression.type !== "MemberExpression" || expression.computed) return "";
    return `${dotted(expression.object)}.${dotted(expression.property)}`;
  };
  return dotted(node.callee);
}

function lengthRules(lineAt: (offset: number) => number, report: Report): Deno.lint.LintVisitor {
  const check = (node: FunctionNode): void => {
    const lines = lineAt(node.range[1]) - lineAt(node.range[0]) + 1;
    if (lines > MAX_FUNCTION_LINES) {
      report(
        node,
        `is a function of ${lines} lines; one fits a screen (${MAX_FUNCTION_LINES}). Name a part of it`,
      );
    }
  };
  return { FunctionDeclaration: check, FunctionExpression: check, ArrowFunctionExpression: check };
}

function checkComments(
  comments: readonly (Deno.lint.LineComment | Deno.lint.BlockComment)[],
  report: Report,
): void {
  for (const comment of comments) {
    const leftover = /\b(TODO|FIXME|XXX|HACK)\b|@ts-(?:ignore|expect-error|nocheck)/.exec(comment.value);
    if (leftover !== null) report(comment, `leaves ${leftover[0]}; finish it or file an issue`);
    if (/deno-lint-ignore/.test(comment.value) && !/ -- \S/.test(comment.value)) {
      report(comment, "switches a lint rule off without saying why (deno-lint-ignore rule -- reason)");
    }
  }
}
