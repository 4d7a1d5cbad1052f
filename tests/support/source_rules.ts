/**
 * The rules of the house that a machine can check, as visitors over a file's syntax tree. `tests/tidy_test.ts` runs
 * them over every file and first shows that each of them can fail.
 */

/** A rule that was broken, where, and what to do about it. */
export interface Finding {
  /** Path from the root of the checkout. */
  readonly path: string;
  /** From 1. */
  readonly line: number;
  /** A sentence for whoever broke the rule. */
  readonly message: string;
}

const MAX_FILE_LINES = 500;
const MAX_FUNCTION_LINES = 70;

/** Rooms that a room may import whole, and rooms of which it may use the types alone (`import type`). */
interface Doors {
  readonly whole: readonly string[];
  readonly types: readonly string[];
}

/** What everyone may import: assertions, and the version. */
const COMMON_FILES = ["deno.json"];

/** Who may import whom (ARCHITECTURE.md), beside the common files, their own folder and lib/platform. */
const DOORS: Readonly<Record<string, Doors>> = {
  platform: { whole: [], types: [] },
  raft: { whole: [], types: ["kv"] },
  kv: { whole: [], types: ["raft"] },
  protocol: { whole: ["raft", "kv"], types: [] },
  transport: { whole: ["raft", "kv", "protocol"], types: [] },
  storage: { whole: ["raft", "kv"], types: [] },
  server: { whole: ["raft", "kv", "storage", "protocol", "transport"], types: [] },
  client: { whole: ["kv", "protocol", "transport"], types: ["raft"] },
  lincheck: { whole: [], types: ["kv"] },
  loadgen: { whole: ["lincheck", "client"], types: ["kv"] },
  cli: { whole: ["client", "server", "lincheck", "loadgen"], types: ["raft", "kv", "protocol"] },
  "main.ts": { whole: ["cli"], types: [] },
  "lib/mod.ts": { whole: ["client"], types: ["kv", "protocol"] },
  "lib/testing.ts": { whole: ["client"], types: [] },
  "lib/server.ts": { whole: ["server"], types: [] },
};

/** What pure folders may use of lib/platform. */
const PURE_PLATFORM = ["lib/platform/assert.ts", "lib/platform/errors.ts", "lib/platform/slab.ts"];

/** The pure rooms, and the packages each may use. */
const PURE_ROOMS: Readonly<Record<string, readonly string[]>> = {
  raft: [],
  kv: ["sorted-btree", "@std/bytes", "node:buffer"],
};

/** Packages that only tests may use. */
const TEST_PACKAGES = ["fast-check", "@std/assert"];

/** What reaches out of a pure function. `Math.random` is caught apart from these. */
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
    name: "house",
    rules: {
      rules: {
        create(context): Deno.lint.LintVisitor {
          const report: Report = (node, message) => context.report({ range: [...node.range], message });
          checkComments(context.sourceCode.getAllComments(), report);
          return {
            ...importRules(path, report),
            ...(roomOf(path) in PURE_ROOMS ? purityRules(roomOf(path), report) : {}),
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

/** The room of a file: the folder under lib/, or the path itself for a file that is in none. */
function roomOf(path: string): string {
  return /^lib\/([^/]+)\//.exec(path)?.[1] ?? path;
}

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
      if (path.startsWith("lib/")) {
        report(node, "imports at run time; name every import at the top of the file");
      }
    },
  };
}

function isTypeSpecifier(specifier: Deno.lint.ImportDeclaration["specifiers"][number]): boolean {
  return specifier.type === "ImportSpecifier" && specifier.importKind === "type";
}

/** Why a file may not import `specifier`, or null. */
function importProblem(
  { path, specifier, typeOnly }: { path: string; specifier: string; typeOnly: boolean },
): string | null {
  const room = roomOf(path);
  const doors = DOORS[room];
  if (doors === undefined) {
    return /^lib\/.+\//.test(path)
      ? `is in lib/${room}, a room that ARCHITECTURE.md and DOORS do not have`
      : null;
  }
  if (!specifier.startsWith(".")) return packageProblem(room, specifier);
  const target = new URL(specifier, `file:///${path}`).pathname.slice(1);
  const targetRoom = roomOf(target);
  if (targetRoom === room || COMMON_FILES.includes(target) || doors.whole.includes(targetRoom)) return null;
  // Of the platform the pure folders use what needs no machine.
  if (targetRoom === "platform" && (!(room in PURE_ROOMS) || PURE_PLATFORM.includes(target))) return null;
  if (!doors.types.includes(targetRoom)) {
    const allowed = [...doors.whole, ...doors.types.map((name) => `the types of ${name}`), "lib/platform"];
    return `imports ${target}; ${room} may import only ${allowed.join(", ")} (ARCHITECTURE.md)`;
  }
  return typeOnly
    ? null
    : `imports values of ${target}; ${room} may use only the types of ${targetRoom} (import type)`;
}

/** Why a room may not use a package, or null. */
function packageProblem(room: string, name: string): string | null {
  if (TEST_PACKAGES.includes(name)) return `imports ${name}, which only tests may use`;
  const packages = PURE_ROOMS[room];
  if (packages === undefined || packages.includes(name)) return null;
  return `imports ${name}; lib/${room} is pure and may use ${packages.join(", ") || "no package"}`;
}

function purityRules(room: string, report: Report): Deno.lint.LintVisitor {
  const asynchronous = (node: FunctionNode): void => {
    if (node.async) report(node, `is async; lib/${room} is pure: what takes time is done by the driver`);
  };
  return {
    Identifier(node): void {
      if (!IMPURE_GLOBALS.has(node.name) || isPropertyName(node)) return;
      report(node, `uses ${node.name}; lib/${room} is pure: time, chance and I/O are handed in`);
    },
    MemberExpression(node): void {
      if (node.object.type !== "Identifier" || node.object.name !== "Math") return;
      if (node.property.type === "Identifier" && node.property.name === "random") {
        report(node, `uses Math.random; lib/${room} takes its randomness from its caller`);
      }
    },
    AwaitExpression: (node) =>
      report(node, `awaits; lib/${room} is pure: what takes time is done by the driver`),
    "FunctionDeclaration[async=true]": asynchronous,
    "FunctionExpression[async=true]": asynchronous,
    "ArrowFunctionExpression[async=true]": asynchronous,
  };
}

/** Whether an identifier only names a member (`entry.process`, `{ process: 1 }`), so that it is no global. */
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
      report(node, "casts twice; that hides whatever the compiler had to say"),
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

/** `setTimeout`, `Deno.test.only`: the dotted name that a call uses, or "" when it is no plain name. */
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
