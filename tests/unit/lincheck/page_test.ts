/**
 * The page of a violation shows the violation and escapes all texts of a history.
 *
 * To write down a wanted change of the golden page: `deno task golden`, then read the diff.
 */
import { assert, assertEquals } from "@std/assert";
import { type History, violationPage } from "../../../lib/lincheck/mod.ts";
import {
  answered,
  entry,
  get,
  list,
  listed,
  put,
  range,
  remove,
  transaction,
  UNKNOWN,
  verdictOf,
} from "./support.ts";

const GOLDEN = new URL("../../golden/check/stale_read.txt", import.meta.url);

const STALE_READ: History = [
  put([1, 0, 1], "k=a", 1),
  put([3, 1, 20], "k=x", UNKNOWN),
  put([1, 2, 4], "k=b", 2),
  get([2, 3, 5], "k", entry("b", [1, 2, 2])),
  get([2, 6, 8], "k", entry("a", [1, 1, 1])),
  put([1, 7, 9], "other=c", 3),
];

function pageOf(history: History): string {
  const verdict = verdictOf(history);
  assert(verdict.kind === "violation", "the history is a bad one");
  return violationPage(history, verdict);
}

/** The page's elements and texts, one a line: the readable part, without the style sheet and the drawing's numbers. */
function outline(page: string): string {
  return page
    .replace(/<style>[^]*?<\/style>/, "")
    .replaceAll(/ (?:x|y|x1|x2|y1|y2|width|height|rx|viewBox)="[^"]*"/g, "")
    .replaceAll(/\s*\n\s*/g, " ")
    .replaceAll(/(<[^>]*>)/g, "\n$1\n")
    .split("\n").map((line) => line.trim()).filter((line) => line !== "").join("\n") + "\n";
}

/** The texts between tags, with entities resolved. */
function wordsOf(page: string): string {
  return page.replace(/<style>[^]*?<\/style>/, "").replaceAll(/<[^>]*>/g, " ").replaceAll("&quot;", '"')
    .replaceAll("&#39;", "'")
    .replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&").replaceAll(/\s+/g, " ");
}

Deno.test("violationPage: the page of a stale read is the one that was approved", async () => {
  const actual = outline(pageOf(STALE_READ));
  if (Deno.args.includes("--update")) {
    await Deno.mkdir(new URL(".", GOLDEN), { recursive: true });
    await Deno.writeTextFile(GOLDEN, actual);
  }
  assertEquals(actual, await Deno.readTextFile(GOLDEN));
});

Deno.test("violationPage: first come the answer, the state that contradicts it, and the write that had replaced it", () => {
  const page = pageOf(STALE_READ);
  const words = wordsOf(page);
  for (
    const sentence of [
      'client 2: get k returned "a", revision 1, created at 1, version 1 (6 to 8 ms)',
      'k was then "x", revision unknown, created at 1, version 3 or "b", revision 2, created at 1, version 2',
      'It returned k = "a", revision 1, created at 1, version 1.',
    ]
  ) assert(words.includes(sentence), `${sentence} is not in ${words}`);
  const parts = [...page.matchAll(/<g class="bar (\w+) (\w+)"/g)].map(([, part, outcome]) =>
    `${part} ${outcome}`
  );
  assertEquals(parts, [
    "seen answered",
    "bystander unknown",
    "replaced answered",
    "bystander answered",
    "violating answered",
  ]);
});

Deno.test("violationPage: the page of revisions against time names both operations", () => {
  const words = wordsOf(pageOf([put([1, 0, 1], "a=1", 2), put([2, 2, 3], "b=1", 1)]));
  assert(words.includes('client 1: put a = "1" returned revision 2 (0 to 1 ms)'), words);
  assert(words.includes('client 2: put b = "1" returned revision 1 (2 to 3 ms)'), words);
});

Deno.test("violationPage: of a write whose answer contradicts the state, it shows the state that the write would have left", () => {
  const outcome = answered({ succeeded: true, current: entry("b", [1, 2, 3]), revision: 2 });
  const words = wordsOf(pageOf([
    put([1, 0, 1], "k=a", 1),
    {
      kind: "compareAndSet",
      client: 2,
      calledAt: 2,
      returnedAt: 3,
      key: "k",
      expect: "a",
      value: "b",
      outcome,
    },
  ]));
  const sentence = 'It would have left k as "b", revision 2, created at 1, version 2. ' +
    'It returned k = "b", revision 2, created at 1, version 3.';
  assert(words.includes(sentence), words);
});

Deno.test("violationPage: of a list it shows the keys concerned, and counts the others", () => {
  const entries = ["a", "b", "k"].map((key) => listed(key, entry("1")));
  const words = wordsOf(pageOf([
    ...["a", "b", "k"].map((key) => put([1, 0, 1], `${key}=1`, UNKNOWN)),
    list([2, 2, 3], range(), { entries, revision: 3 }),
    get([3, 4, 5], "k", null),
  ]));
  assert(words.includes('k = "1"; 2 other keys; revision 3'), words);
});

Deno.test("violationPage: keys, values and ranges of a history are escaped", () => {
  const evil = `"'><script>&\\\u0000\u00ff</svg>`;
  const history: History = [
    put([1, 0, 1], `${evil}=${evil}`, 1),
    transaction([1, 2, 3], [`${evil}=1`, `z${evil}`], 2),
    remove([1, 4, 5], `z${evil}`, { deleted: false, revision: 3 }),
    list([2, 6, 7], range({ prefix: evil, start: evil }), {
      entries: [listed(evil, entry(evil, [1, 1, 1]))],
      revision: 3,
    }),
  ];
  const page = pageOf(history);
  for (const raw of ["<script", "\u0000", "\u00ff"]) assert(!page.includes(raw), `${raw} came through`);
  assertEquals(page.split("</svg>").length, 2, "the drawing ends once");
  const tags = [...page.matchAll(/<([a-z0-9]+)/g)].map(([, tag]) => tag);
  const known = [
    ..."html head meta title style body main h1 h2 section p strong code div svg desc g text line rect".split(
      " ",
    ),
    ..."ul li table thead tbody tr th td".split(" "),
  ];
  assertEquals(tags.filter((tag) => tag === undefined || !known.includes(tag)), []);
});

Deno.test("violationPage: the page loads nothing from elsewhere", () => {
  const page = pageOf(STALE_READ);
  assertEquals(page.match(/https?:|url\(|@import|<link|<img|<script|\bsrc=|\bhref=/g), null);
  assert(page.includes("default-src 'none'"), "a policy says so to the browser");
});

Deno.test("violationPage: a page of a long history shows the relevant operations and counts the rest", () => {
  const writes = Array.from({ length: 3_000 }, (_, i) => put([i % 7, 2 * i, 2 * i + 1], `k=${i}`, i + 1));
  const page = pageOf([...writes, get([9, 7_000, 7_001], "k", entry("5", [1, 6, 6]))]);
  const shown = [...page.matchAll(/<g class="bar/g)].length;
  assert(shown >= 4 && shown <= 40, `${shown} operations are shown`);
  assert(page.includes(`${3_001 - shown} more operations`), "the others are counted");
  assertEquals([...page.matchAll(/<g class="bar (seen|replaced|expected|violating)/g)].length, 4);
});
